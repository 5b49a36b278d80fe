package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"postrider/store"
)

// progress is how far an operation is, in bytes.
type progress struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
}

// progressEvery is how often progress is told of.
const progressEvery = 100 * time.Millisecond

// withProgress has the store tell of its progress, not too often.
func withProgress(ctx context.Context, tell func(progress)) context.Context {
	var last time.Time
	return store.WithProgress(ctx, func(done, total int64) {
		if now := time.Now(); now.Sub(last) >= progressEvery {
			last = now
			tell(progress{done, total})
		}
	})
}

// onTerminal tells whether w is a terminal that somebody watches.
func onTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// bar draws progress on one line of a terminal.
type bar struct {
	w     io.Writer
	doing string
	drawn int
}

const barWidth = 30

func (b *bar) draw(p progress) {
	if p.Total <= 0 {
		return
	}
	p.Done = max(0, min(p.Done, p.Total)) // mail may come in while it goes on
	full := int(p.Done * barWidth / p.Total)
	line := fmt.Sprintf("%s [%s%s] %3d%% of %s", b.doing, strings.Repeat("#", full), strings.Repeat("-", barWidth-full),
		p.Done*100/p.Total, roughSize(p.Total))
	fmt.Fprintf(b.w, "\r%-*s", b.drawn, line)
	b.drawn = len(line)
}

// clear leaves the line empty.
func (b *bar) clear() {
	if b.drawn > 0 {
		fmt.Fprintf(b.w, "\r%s\r", strings.Repeat(" ", b.drawn))
	}
}
