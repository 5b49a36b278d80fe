package main

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"math"
	"strconv"
)

// chart is one of a picture's panels: lines over a logarithmic x axis.
type chart struct {
	title  string
	x, y   string // what the axes count, with the unit
	logY   bool   // else y begins at 0
	limit  float64
	series []series
}

// series is one line; x rises.
type series struct {
	name   string
	points []point
}

type point struct{ x, y float64 }

// The picture's measures in pixels. The greys and colours can be read on a
// white page and on a dark one; nothing is behind them.
const (
	chartWidth, chartHeight = 380, 260
	chartColumns            = 2
	marginLeft, marginRight = 62, 16
	marginTop, marginBottom = 40, 44
	plotWidth               = chartWidth - marginLeft - marginRight
	plotHeight              = chartHeight - marginTop - marginBottom

	svgStyle = `text{font:12px system-ui,sans-serif;fill:#7d8590}.t{font-weight:600;font-size:13px}` +
		`.a{stroke:#7d8590;stroke-width:1}.g{stroke:#7d8590;stroke-opacity:.25}.m{stroke:#c93c37;stroke-dasharray:5 4}.l{fill:#c93c37}` +
		`.s0{stroke:#2f81f7}.s1{stroke:#c4700f}.f0{fill:#2f81f7}.f1{fill:#c4700f}polyline{fill:none;stroke-width:2}`
)

// writeSVG draws the charts side by side. Those without a point are left out.
func writeSVG(w io.Writer, charts []chart) error {
	var drawn []chart
	for _, c := range charts {
		if len(c.all()) > 0 {
			drawn = append(drawn, c)
		}
	}
	rows := (len(drawn) + chartColumns - 1) / chartColumns
	var b bytes.Buffer
	width, height := chartColumns*chartWidth, rows*chartHeight
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, "<style>%s</style>\n", svgStyle)
	for i, c := range drawn {
		fmt.Fprintf(&b, `<g transform="translate(%d %d)">`+"\n", i%chartColumns*chartWidth, i/chartColumns*chartHeight)
		c.draw(&b)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	_, err := w.Write(b.Bytes())
	return err
}

// all are the points that can be drawn.
func (c *chart) all() []point {
	var all []point
	for _, s := range c.series {
		for _, p := range s.points {
			if p.x > 0 && !math.IsNaN(p.y) && (p.y > 0 || !c.logY) {
				all = append(all, p)
			}
		}
	}
	return all
}

func (c *chart) draw(b *bytes.Buffer) {
	low, high := math.Inf(1), 0.0
	yLow, yHigh := math.Inf(1), c.limit
	for _, p := range c.all() {
		low, high = min(low, p.x), max(high, p.x)
		yLow, yHigh = min(yLow, p.y), max(yHigh, p.y)
	}
	xs := logScale(low, high, plotWidth)
	ys := linearScale(yHigh, plotHeight)
	if c.logY {
		ys = logScale(yLow, yHigh, plotHeight)
	}
	text(b, "t", marginLeft-24, 20, "start", c.title+", "+c.y)
	text(b, "", marginLeft+plotWidth/2, chartHeight-6, "middle", c.x)
	for _, v := range ys.ticks {
		y := bottom - ys.at(v)
		fmt.Fprintf(b, `<line class="g" x1="%d" y1="%.1f" x2="%d" y2="%.1f"/>`+"\n", marginLeft, y, marginLeft+plotWidth, y)
		text(b, "", marginLeft-6, y+4, "end", short(v))
	}
	for _, v := range xs.ticks {
		x := marginLeft + xs.at(v)
		fmt.Fprintf(b, `<line class="g" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/>`+"\n", x, marginTop, x, int(bottom))
		text(b, "", x, bottom+16, "middle", short(v))
	}
	fmt.Fprintf(b, `<path class="a" fill="none" d="M%d %dV%dH%d"/>`+"\n", marginLeft, marginTop, int(bottom), marginLeft+plotWidth)
	if c.limit > 0 {
		y := bottom - ys.at(c.limit)
		fmt.Fprintf(b, `<line class="m" x1="%d" y1="%.1f" x2="%d" y2="%.1f"/>`+"\n", marginLeft, y, marginLeft+plotWidth, y)
		text(b, "l", marginLeft+6, y-5, "start", "target "+short(c.limit))
	}
	for i, s := range c.series {
		c.line(b, i, s, xs, ys)
	}
}

// bottom is where the x axis lies.
const bottom = float64(marginTop + plotHeight)

func (c *chart) line(b *bytes.Buffer, i int, s series, xs, ys scale) {
	var path, dots bytes.Buffer
	var last point
	for _, p := range s.points {
		if p.x <= 0 || math.IsNaN(p.y) || c.logY && p.y <= 0 {
			continue
		}
		last = point{marginLeft + xs.at(p.x), bottom - ys.at(p.y)}
		fmt.Fprintf(&path, "%.1f,%.1f ", last.x, last.y)
		fmt.Fprintf(&dots, `<circle class="f%d" cx="%.1f" cy="%.1f" r="3"><title>%s: %s</title></circle>`, i%2, last.x, last.y, short(p.x), short(p.y))
	}
	if path.Len() == 0 {
		return
	}
	fmt.Fprintf(b, `<polyline class="s%d" points="%s"/>%s`+"\n", i%2, bytes.TrimSpace(path.Bytes()), dots.Bytes())
	if s.name != "" {
		text(b, fmt.Sprintf("f%d", i%2), last.x, last.y-8, "end", s.name)
	}
}

func text(b *bytes.Buffer, class string, x, y float64, anchor, s string) {
	fmt.Fprintf(b, `<text class="%s" x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n", class, x, y, anchor, html.EscapeString(s))
}

// scale maps values to pixels from the axis' beginning.
type scale struct {
	at    func(v float64) float64
	ticks []float64
}

// logScale goes from the power of ten below low to the one above high.
func logScale(low, high float64, length float64) scale {
	// A hair's breadth keeps 1000 from being taken for more than 10³.
	const hair = 1e-9
	from, to := math.Floor(math.Log10(low)+hair), math.Ceil(math.Log10(high)-hair)
	if to <= from {
		to = from + 1
	}
	s := scale{at: func(v float64) float64 { return (math.Log10(v) - from) / (to - from) * length }}
	for e := from; e <= to; e++ {
		s.ticks = append(s.ticks, math.Pow(10, e))
	}
	return s
}

// linearScale goes from 0 to a round number not below high, in at most 4 steps.
func linearScale(high, length float64) scale {
	if high <= 0 {
		high = 1
	}
	power := math.Pow(10, math.Floor(math.Log10(high/4)))
	step := 10 * power
	for _, round := range []float64{5, 2.5, 2, 1} {
		if 4*round*power >= high {
			step = round * power
		}
	}
	s := scale{}
	top := 0.0
	for s.ticks = []float64{0}; top < high; {
		top += step
		s.ticks = append(s.ticks, top)
	}
	s.at = func(v float64) float64 { return v / top * length }
	return s
}

// short is a number as on an axis: 1k, 2.5k, 1M.
func short(v float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e6, "M"}, {1e3, "k"}} {
		if v >= unit.size*0.9995 {
			return strconv.FormatFloat(v/unit.size, 'g', 3, 64) + unit.name
		}
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}
