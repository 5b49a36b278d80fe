package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"postrider/mail"
	"postrider/store"
)

// maxHeaderShown bounds what queue show prints of a message's header.
const maxHeaderShown = 64 << 10

func queueCommand() command {
	act := func(name, summary string) command {
		return command{name: name, args: "ID… | " + filterSynopsis + " | --all [--json]", summary: summary,
			run: func(c *cli, f *flags, args []string) error { return runQueueAct(c, f, args, name) }}
	}
	return command{name: "queue", summary: "Look after outgoing mail.", sub: []command{
		{name: "list", args: filterSynopsis + " [--limit N] [--json]", run: runQueueList, summary: "List the recipients that wait, oldest message first."},
		{name: "show", args: "ID [--json]", run: runQueueShow,
			summary: "Show a message in the queue with all that was tried; ID is a message's or a recipient's."},
		act("retry", "Try again now, also where a server did not answer."),
		act("hold", "Do not try until released."),
		act("release", "Undo hold, and try now."),
		act("drop", "Take out of the queue, without a notice to the sender."),
		act("bounce", "Give up: return to the sender, with a notice."),
		suppressedCommand(),
	}}
}

const filterSynopsis = "[--rcpt TEXT] [--sender TEXT] [--dest DOMAIN] [--older TIME] [--error TEXT] [--state active|held]"

// queueRow is one recipient in the queue.
type queueRow struct {
	ID       int64     `json:"id,string"`
	Message  string    `json:"message"`
	From     string    `json:"from"`
	To       string    `json:"to"`
	Dest     string    `json:"dest"`
	State    string    `json:"state"`
	Size     int64     `json:"size"`
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires"`
	Due      time.Time `json:"due"`
	Sending  bool      `json:"sending,omitempty"` // now, and due is when that is given up
	Closed   bool      `json:"closed,omitempty"`  // dest does not answer, and is left alone until due
	Attempts int       `json:"attempts"`
	Last     string    `json:"last,omitempty"`
	LastAt   time.Time `json:"last_at,omitzero"`
}

// queueDetail is a message in the queue with its recipients, and what was
// tried.
type queueDetail struct {
	Rows     []queueRow                 `json:"recipients"`
	Header   string                     `json:"header"`
	Journey  []store.Event              `json:"journey"`
	Accounts map[store.AccountID]string `json:"accounts,omitempty"` // as journeyOf has them
}

// queueArgs selects recipients. An id is a message's, 16 characters, or a
// recipient's, a number.
type queueArgs struct {
	IDs    []string
	Filter queueFilter
	All    bool
	Action string
}

// queueFilter is the flags that select recipients.
type queueFilter struct {
	Rcpt, Sender, Dest, Error, State string
	Older                            time.Duration
	Limit                            int
}

// queueFlags registers the flags of a filter; parse is called when they have
// been read.
func queueFlags(f *flags, q *queueFilter) (parse func() error) {
	f.StringVar(&q.Rcpt, "rcpt", "", "recipients with this `TEXT` in their address")
	f.StringVar(&q.Sender, "sender", "", "messages with this `TEXT` in the sender's address")
	f.StringVar(&q.Dest, "dest", "", "all recipients of a `DOMAIN`")
	f.StringVar(&q.Error, "error", "", "recipients with this `TEXT` in the last outcome")
	f.StringVar(&q.State, "state", "", "recipients that are `STATE`: active or held")
	older := f.String("older", "", "messages that have been here for this `TIME`, as 2h or 3d")
	return func() error {
		if q.State != "" && q.State != "active" && q.State != "held" {
			return usagef("--state is active or held, not %q", q.State)
		}
		if *older != "" {
			var d Duration
			if err := d.UnmarshalText([]byte(*older)); err != nil {
				return usagef("--older: %v", err)
			}
			q.Older = time.Duration(d)
		}
		return nil
	}
}

func (q *queueFilter) empty() bool { return *q == queueFilter{} }

// filter puts the flags into the store's terms.
func (q *queueFilter) filter() (store.OutFilter, error) {
	f := store.OutFilter{Rcpt: q.Rcpt, Sender: q.Sender, Last: q.Error, Limit: q.Limit}
	if q.Dest != "" {
		dest, err := parseDomain(q.Dest)
		if err != nil {
			return f, err
		}
		f.Dest = dest
	}
	if q.State != "" {
		state := store.RcptActive
		if q.State == "held" {
			state = store.RcptHeld
		}
		f.State = &state
	}
	if q.Older > 0 {
		f.Before = time.Now().Add(-q.Older)
	}
	return f, nil
}

func rowsOf(list []store.Leased) []queueRow {
	rows := []queueRow{}
	for _, m := range list {
		for _, r := range m.Rcpts {
			state := "active"
			if r.State == store.RcptHeld {
				state = "held"
			}
			rows = append(rows, queueRow{
				ID: int64(r.ID), Message: string(m.Message), From: m.Envelope.From.String(), To: r.Recipient.Addr.String(),
				Dest: r.Dest, State: state, Size: m.Size, Created: m.Created, Expires: m.Expires,
				Due: r.Due, Sending: r.Leased, Closed: r.Closed, Attempts: r.Tries, Last: r.Last, LastAt: r.LastAt,
			})
		}
	}
	return rows
}

func listQueue(ctx context.Context, a *admin, q queueFilter) ([]queueRow, error) {
	f, err := q.filter()
	if err != nil {
		return nil, err
	}
	list, err := a.store.Outgoing(ctx, f)
	return rowsOf(list), err
}

// find returns the messages in the queue with the recipients that in selects.
func (in *queueArgs) find(ctx context.Context, a *admin) ([]store.Leased, error) {
	f, err := in.Filter.filter()
	if err != nil {
		return nil, err
	}
	if len(in.IDs) == 0 {
		return a.store.Outgoing(ctx, f)
	}
	var all []store.Leased
	for _, id := range in.IDs {
		one := f
		if n, err := strconv.ParseInt(id, 10, 64); err == nil && len(id) != 16 {
			one.IDs = []store.RcptID{store.RcptID(n)}
		} else {
			one.Message = mail.ID(id)
		}
		list, err := a.store.Outgoing(ctx, one)
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			return nil, adminErrorf("%q is not in the queue; see postrider queue list, and postrider journey for what became of it", id)
		}
		all = append(all, list...)
	}
	return all, nil
}

func actOnQueue(ctx context.Context, a *admin, in queueArgs) (int, error) {
	actions := map[string]store.OutAction{"retry": store.OutRetry, "hold": store.OutHold,
		"release": store.OutRelease, "drop": store.OutDrop, "bounce": store.OutBounce}
	action, ok := actions[in.Action]
	if !ok || len(in.IDs) == 0 && in.Filter.empty() && !in.All {
		return 0, adminErrorf("nothing is selected; name ids, a filter or --all")
	}
	f, err := in.Filter.filter()
	if err != nil {
		return 0, err
	}
	if len(in.IDs) > 0 {
		list, err := in.find(ctx, a)
		if err != nil {
			return 0, err
		}
		for _, row := range rowsOf(list) {
			f.IDs = append(f.IDs, store.RcptID(row.ID))
		}
	}
	n, err := a.store.Act(ctx, f, action, time.Now())
	if err == nil {
		a.changed("queue "+in.Action, "rcpts", n)
	}
	return n, err
}

func showQueue(ctx context.Context, a *admin, in queueArgs) (queueDetail, error) {
	list, err := in.find(ctx, a)
	if err != nil {
		return queueDetail{}, err
	}
	d := queueDetail{Rows: rowsOf(list)}
	if len(list) == 0 {
		return d, adminErrorf("%q is not in the queue; see postrider queue list", strings.Join(in.IDs, " "))
	}
	err = a.store.FetchOutgoing(ctx, list[0].ID, func(m *store.Content) error {
		b := make([]byte, min(m.Size, maxHeaderShown))
		if _, err := m.ReadAt(b, 0); err != nil && err != io.EOF {
			return err
		}
		d.Header = strings.ReplaceAll(string(b[:mail.HeaderSize(b)]), "\r\n", "\n")
		return nil
	})
	if err != nil {
		return d, err
	}
	j, err := a.store.Journey(ctx, list[0].Message)
	switch {
	case err == nil:
		d.Journey = j.Events
		d.Accounts, err = accountsIn(ctx, a, j.Events)
	case store.KindOf(err) == store.NotFound: // from before there were journeys
		err = nil
	}
	return d, err
}

func runQueueList(c *cli, f *flags, args []string) error {
	asJSON := f.Bool("json", false, "print JSON")
	var q queueFilter
	countVar(f, &q.Limit, "limit", "at most `N` of them; 0 is all")
	parse := queueFlags(f, &q)
	if err := f.parseFlags(args); err != nil {
		return err
	}
	if err := parse(); err != nil {
		return err
	}
	var rows []queueRow
	if err := c.do(f, "queue.list", q, nil, &rows); err != nil {
		return err
	}
	return c.print(*asJSON, rows, func(w io.Writer) {
		switch {
		case len(rows) > 0:
			printQueue(w, rows)
		case q.empty():
			fmt.Fprintln(w, "The queue is empty.")
		default:
			fmt.Fprintln(w, "Nothing in the queue is like that.")
		}
	})
}

func printQueue(w io.Writer, rows []queueRow) {
	fmt.Fprintln(w, "ID\tMESSAGE\tSIZE\tFROM\tTO\tTRIES\tNEXT\tLAST")
	for _, r := range rows {
		next, last := r.Due.Local().Format(time.DateTime), r.Last
		switch {
		case r.Sending:
			next = "being sent"
		case r.State == "held":
			next = "held"
		}
		if last == "" && r.Closed {
			last = r.Dest + " does not answer"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t<%s>\t<%s>\t%d\t%s\t%s\n", r.ID, r.Message, roughSize(r.Size), r.From, r.To, r.Attempts, next, printable(last))
	}
}

func runQueueShow(c *cli, f *flags, args []string) error {
	asJSON := f.Bool("json", false, "print JSON")
	id, err := oneArg(f, args, "the id")
	if err != nil {
		return err
	}
	var d queueDetail
	if err := c.do(f, "queue.show", queueArgs{IDs: []string{id}}, nil, &d); err != nil {
		return err
	}
	return c.print(*asJSON, d, func(w io.Writer) {
		printQueue(w, d.Rows)
		fmt.Fprintf(w, "\n%s\n", printable(d.Header))
		if len(d.Journey) > 0 {
			printJourney(w, &journeyOf{d.Rows[0].Message, d.Journey, d.Accounts})
		}
	})
}

// printable takes the control characters out of a stranger's text, so that it
// can do no more to a terminal than be read.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && unicode.IsControl(r) {
			return '?'
		}
		return r
	}, s)
}

func runQueueAct(c *cli, f *flags, args []string, action string) error {
	in := queueArgs{Action: action}
	asJSON := f.Bool("json", false, "print JSON")
	parse := queueFlags(f, &in.Filter)
	f.BoolVar(&in.All, "all", false, "the whole queue")
	var err error
	if in.IDs, err = f.parse(args); err != nil {
		return err
	}
	if err := parse(); err != nil {
		return err
	}
	if len(in.IDs) == 0 && in.Filter.empty() && !in.All {
		return usagef("name ids, --dest DOMAIN or another filter, or --all")
	}
	if in.All && (len(in.IDs) > 0 || !in.Filter.empty()) {
		return usagef("--all goes alone")
	}
	var n int
	if err := c.do(f, "queue.act", in, nil, &n); err != nil {
		return err
	}
	result := struct {
		Action string `json:"action"`
		Rcpts  int    `json:"recipients"`
	}{action, n}
	return c.print(*asJSON, result, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %d\n", action, n)
		if n == 0 && len(in.IDs) > 0 {
			fmt.Fprintln(w, "It is being sent now, or is so already.")
		}
	})
}
