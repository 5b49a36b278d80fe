package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestScales(t *testing.T) {
	for _, test := range []struct{ high, step, top float64 }{
		{0, 0.25, 1}, {1, 0.25, 1}, {4, 1, 4}, {5, 2, 6}, {64, 20, 80}, {999, 250, 1000}, {1000, 250, 1000}, {4736, 2000, 6000}, {9.1, 2.5, 10},
	} {
		s := linearScale(test.high, 100)
		if got := s.ticks; got[0] != 0 || got[1] != test.step || got[len(got)-1] != test.top {
			t.Errorf("linear to %v: ticks %v, want steps of %v to %v", test.high, got, test.step, test.top)
		}
		if s.at(0) != 0 || s.at(test.top) != 100 {
			t.Errorf("linear to %v: from %v to %v", test.high, s.at(0), s.at(test.top))
		}
	}
	for _, test := range []struct {
		low, high float64
		ticks     []float64
	}{
		{1000, 1e6, []float64{1e3, 1e4, 1e5, 1e6}}, {0.4, 22, []float64{0.1, 1, 10, 100}}, {10, 10, []float64{10, 100}}, {999, 1001, []float64{100, 1000, 10000}},
	} {
		s := logScale(test.low, test.high, 90)
		if len(s.ticks) != len(test.ticks) {
			t.Errorf("logarithmic from %v to %v: %v, want %v", test.low, test.high, s.ticks, test.ticks)
			continue
		}
		for i, want := range test.ticks {
			if math.Abs(s.ticks[i]/want-1) > 1e-9 || math.Abs(s.at(want)-90*float64(i)/float64(len(test.ticks)-1)) > 1e-6 {
				t.Errorf("logarithmic from %v to %v: tick %v at %v", test.low, test.high, s.ticks[i], s.at(want))
			}
		}
	}
}

func TestShort(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.25: "0.25", 12: "12", 999: "999", 1000: "1k", 2500: "2.5k", 999999: "1M", 1e6: "1M", 1.25e6: "1.25M"} {
		if got := short(v); got != want {
			t.Errorf("short(%v) = %q, want %q", v, got, want)
		}
	}
}

// The picture is well-formed, has each series that has points, and leaves out
// the charts that have none.
func TestWriteSVG(t *testing.T) {
	charts := []chart{
		{title: "A & B", x: "x", y: "ms", logY: true, limit: 100, series: []series{
			{"cold", []point{{1000, 5}, {10000, 50}}}, {"warm", []point{{1000, 0.5}, {10000, 0}}}}},
		{title: "nothing", series: []series{{"", nil}}},
		{title: "rate", series: []series{{"", []point{{1000, 0}, {1e6, 3000}}}}},
	}
	var b bytes.Buffer
	if err := writeSVG(&b, charts); err != nil {
		t.Fatal(err)
	}
	elements := map[string]int{}
	for d := xml.NewDecoder(bytes.NewReader(b.Bytes())); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, b.String())
		}
		if start, ok := token.(xml.StartElement); ok {
			elements[start.Name.Local]++
		}
	}
	if elements["polyline"] != 3 || elements["circle"] != 5 || elements["g"] != 2 {
		t.Errorf("elements %v", elements)
	}
	if s := b.String(); !strings.Contains(s, "A &amp; B") || strings.Contains(s, "nothing") || strings.Contains(s, "NaN") || strings.Contains(s, "Inf") {
		t.Errorf("the picture is\n%s", s)
	}
}

// Figures of several runs come together in one file, in order.
func TestGrownFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "growth.json")
	for _, p := range []*growthSize{
		{Messages: 100, Rate: 10}, {Messages: 10, Rate: 9}, {Messages: 1000, Rate: 8}, {Messages: 100, Cold: 7},
	} {
		g, err := loadGrown(path)
		if err != nil {
			t.Fatal(err)
		}
		g.addSize(p)
		g.addBox(&growthBox{Mailboxes: p.Messages / 10, Rate: 1})
		if err := g.save(path, ""); err != nil {
			t.Fatal(err)
		}
	}
	g, err := loadGrown(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []*growthSize{{Messages: 10, Rate: 9}, {Messages: 100, Rate: 10, Cold: 7}, {Messages: 1000, Rate: 8}}
	if !reflect.DeepEqual(g.Messages, want) || len(g.Mailboxes) != 3 {
		b, _ := json.Marshal(g)
		t.Errorf("the file has %s", b)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadGrown(path); err == nil {
		t.Error("a broken file is no error")
	}
}

func TestParseSizes(t *testing.T) {
	if got, err := parseSizes("10,200"); err != nil || !slices.Equal(got, []int{10, 200}) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, s := range []string{"0", "10,10", "20,10", "x", "-1"} {
		if got, err := parseSizes(s); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
	if got, err := parseSizes(""); err != nil || len(got) != 0 {
		t.Errorf("nothing is %v, %v", got, err)
	}
}
