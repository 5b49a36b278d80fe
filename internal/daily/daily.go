// Package daily is the rhythm of the reports that servers send each other once
// a day: what is counted is written down every minute, and the days that are
// over are told some time after midnight.
package daily

import (
	"context"
	"log/slog"
	"time"

	"postrider/internal/maillog"
)

const (
	flushEvery = time.Minute
	sendEvery  = time.Hour
	maxSpread  = 4 * time.Hour // after midnight, so that not all servers report at once (RFC 8460 §4.1)
)

// GiveUp is after how many days the counts are dropped that nobody could be told.
const GiveUp = 3

// Job counts something and reports it.
type Job struct {
	Flush func(ctx context.Context) error // writes down what has been counted
	Send  func(ctx context.Context) error // sends what is to be sent of the days that are over
	What  string                          // the reports' name in the log
	Now   func() time.Time
	Log   *slog.Logger
}

// Run works until ctx ends. What was counted last is written down then, too.
func (j *Job) Run(ctx context.Context) {
	flush := time.NewTicker(flushEvery)
	defer flush.Stop()
	var last time.Time
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-flush.C:
		}
		if err := j.Flush(context.WithoutCancel(ctx)); err != nil {
			j.Log.Error(maillog.Failed, "doing", "count for "+j.What, "err", err)
		}
		if now := j.Now(); ctx.Err() == nil && now.Sub(last) >= sendEvery {
			last = now
			if err := j.Send(ctx); err != nil && ctx.Err() == nil {
				j.Log.Error(maillog.Failed, "doing", j.What, "err", err)
			}
		}
	}
}

// Today is the day that is not to be reported yet. A server with a spread of s,
// from 0 to 1, begins its days that part of four hours after midnight.
func Today(now time.Time, s float64) time.Time {
	return now.Add(-time.Duration(s * float64(maxSpread)))
}
