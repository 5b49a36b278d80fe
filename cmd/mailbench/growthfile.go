package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
)

// loadGrown reads what earlier runs measured; without a file, nothing.
func loadGrown(path string) (*grown, error) {
	g := &grown{}
	if path == "" {
		return g, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return g, nil
	}
	if err == nil {
		err = json.Unmarshal(b, g)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return g, nil
}

// save writes the figures and the picture, each if it has a name.
func (g *grown) save(out, picture string) error {
	if out != "" {
		b, err := json.MarshalIndent(g, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(out, append(b, '\n'), 0o644); err != nil {
			return err
		}
	}
	if picture == "" {
		return nil
	}
	var b bytes.Buffer
	if err := writeSVG(&b, g.charts()); err != nil {
		return err
	}
	return os.WriteFile(picture, b.Bytes(), 0o644)
}

// charts are the figures with their targets.
func (g *grown) charts() []chart {
	line := func(name string, of func(*growthSize) float64) series {
		s := series{name: name}
		for _, p := range g.Messages {
			if v := of(p); v > 0 {
				s.points = append(s.points, point{float64(p.Messages), v})
			}
		}
		return s
	}
	boxes := series{}
	for _, p := range g.Mailboxes {
		boxes.points = append(boxes.points, point{float64(p.Mailboxes), p.Rate})
	}
	const messages = "messages in the mailbox"
	floor := 0.0 // 0.8 of the rate of the smallest mailbox
	if len(g.Messages) > 0 {
		floor = 0.8 * g.Messages[0].Rate
	}
	return []chart{
		{title: "Deliveries into one mailbox", x: messages, y: "per second", limit: floor,
			series: []series{line("", func(p *growthSize) float64 { return p.Rate })}},
		{title: "Appends to many mailboxes", x: "mailboxes of the account", y: "per second", series: []series{boxes}},
		{title: "SELECT", x: messages, y: "ms", logY: true, limit: 1000, series: []series{
			line("cold", func(p *growthSize) float64 { return p.Cold }),
			line("warm", func(p *growthSize) float64 { return p.Warm })}},
		{title: "SEARCH TEXT, one match", x: messages, y: "ms", logY: true, limit: 200,
			series: []series{line("", func(p *growthSize) float64 { return p.Search })}},
		{title: "Memory of an open view", x: messages, y: "octets a message", limit: 64,
			series: []series{line("", func(p *growthSize) float64 { return p.Memory })}},
		{title: "Start of the server", x: messages, y: "ms", limit: 2000,
			series: []series{line("", func(p *growthSize) float64 { return p.StartUp })}},
	}
}

// shell runs a command line, and tells what it printed if it fails.
func shell(ctx context.Context, line string) error {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", line)
	f, err := os.CreateTemp("", "mailbench-restart-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	// A file, since what the command leaves running would keep a pipe open.
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(f.Name())
		return fmt.Errorf("%s: %w\n%s", line, err, said)
	}
	return nil
}
