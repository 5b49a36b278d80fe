package daily

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lines is a log that many goroutines write.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var flushed, sent int
		var log lines
		j := Job{What: "odd reports", Now: time.Now, Log: slog.New(slog.NewTextHandler(&log, nil)),
			Flush: func(ctx context.Context) error { flushed++; return ctx.Err() },
			Send: func(context.Context) error {
				if sent++; sent == 2 {
					return errors.New("no disk")
				}
				return nil
			}}
		done := make(chan struct{})
		go func() { defer close(done); j.Run(ctx) }()
		time.Sleep(3*time.Hour + 30*time.Second)
		synctest.Wait()
		if flushed != 180 || sent != 3 {
			t.Errorf("written down %d times, sent %d times in three hours", flushed, sent)
		}
		cancel()
		<-done
		if flushed != 181 || sent != 3 {
			t.Errorf("at the end: written down %d times, sent %d times", flushed, sent)
		}
		if got := log.b.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `doing="odd reports" err="no disk"`) {
			t.Errorf("log: %s", got)
		}
	})
}

func TestToday(t *testing.T) {
	at := time.Date(2026, 11, 23, 1, 59, 0, 0, time.UTC)
	if got := Today(at, 0); got.Day() != 23 {
		t.Errorf("without a spread: %s", got)
	}
	if got := Today(at, 0.5); got.Day() != 22 {
		t.Errorf("two hours later: %s", got)
	}
	if got := Today(at.Add(time.Minute), 0.5); got.Day() != 23 {
		t.Errorf("two hours after midnight: %s", got)
	}
}
