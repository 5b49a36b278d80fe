package main

// Figure is what of a Result counts in a row of the comparison.
type Figure string

// The figures that a row can compare.
const (
	byRate  Figure = "rate"  // Rate: more is better
	byTime  Figure = "time"  // Seconds: less is better
	byP50   Figure = "p50"   // P50: less is better
	byMax   Figure = "max"   // Max: less is better
	byValue Figure = "value" // Value: less is better
)

func (f Figure) of(r *Result) float64 {
	switch f {
	case byRate:
		return r.Rate
	case byTime:
		return r.Seconds
	case byP50:
		return r.P50
	case byMax:
		return r.Max
	}
	return r.Value
}

// moreIsBetter tells a rate from times and sizes.
func (f Figure) moreIsBetter() bool { return f == byRate }

// Row is one line of the comparison's table.
type Row struct {
	Name     string // as in the table
	Workload string
	Args     []string // the workload's flags
	Result   string   // the name of the Result that the row takes; "" is the first
	Figure   Figure
	Unit     string // of the figure, such as "messages/s", "ms"
	Targets  []Target
}

// Target bounds the ratio of the first server's figure to a peer's: the rate
// is to be at least Ratio times the peer's, everything else at most.
type Target struct {
	Ratio float64
	Null  bool // the peer is the server that stores nothing, not one that stores
	// Absolute bounds the first server's own figure instead, in the row's unit.
	Absolute float64
}

// rows is the whole comparison, in the order in which it is run and printed.
func rows() []Row {
	return append(mailRows(), imapRows()...)
}

// mailRows are the rows of SMTP, LMTP, APPEND, POP3 and relaying.
func mailRows() []Row {
	return nil
}
