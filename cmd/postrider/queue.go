package main

import (
	"context"
	"fmt"
	"io"
	"slices"
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
		return command{name: name, args: "ID… | --dest DOMAIN | --all", summary: summary,
			run: func(c *cli, f *flags, args []string) error { return runQueueAct(c, f, args, name) }}
	}
	return command{name: "queue", summary: "look after outgoing mail", sub: []command{
		{name: "list", args: "[--json]", run: runQueueList, summary: "List the recipients that wait, oldest message first."},
		{name: "show", args: "ID [--json]", run: runQueueShow,
			summary: "Show a message in the queue; ID is a message's or a recipient's."},
		act("retry", "Try again now."),
		act("hold", "Do not try until released."),
		act("release", "Undo hold, and try now."),
		act("drop", "Take out of the queue, without a notice to the sender."),
	}}
}

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
	Attempts int       `json:"attempts"`
	Last     string    `json:"last,omitempty"`
	LastAt   time.Time `json:"last_at,omitzero"`
}

// queueDetail is a message in the queue with its recipients.
type queueDetail struct {
	Rows   []queueRow `json:"recipients"`
	Header string     `json:"header"`
}

// queueArgs selects recipients. An id is a message's, 16 characters, or a
// recipient's, a number.
type queueArgs struct {
	IDs    []string
	Dest   string
	All    bool
	Action string
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
				Due: r.Due, Attempts: r.Tries, Last: r.Last, LastAt: r.LastAt,
			})
		}
	}
	return rows
}

func listQueue(ctx context.Context, a *admin, _ none) ([]queueRow, error) {
	list, err := a.store.Outgoing(ctx, store.OutFilter{})
	return rowsOf(list), err
}

// find returns the messages in the queue with the recipients that in selects.
func (in *queueArgs) find(ctx context.Context, a *admin) ([]store.Leased, error) {
	var f store.OutFilter
	if in.Dest != "" {
		dest, err := parseDomain(in.Dest)
		if err != nil {
			return nil, err
		}
		f.Dest = dest
	}
	list, err := a.store.Outgoing(ctx, f)
	if err != nil || len(in.IDs) == 0 {
		return list, err
	}
	found := map[string]bool{}
	wanted := func(id string) bool {
		ok := slices.Contains(in.IDs, id)
		found[id] = found[id] || ok
		return ok
	}
	list = slices.DeleteFunc(list, func(m store.Leased) bool {
		return !wanted(string(m.Message)) && !slices.ContainsFunc(m.Rcpts, func(r store.OutRcpt) bool { return wanted(rcptID(r)) })
	})
	for i, m := range list {
		if !wanted(string(m.Message)) {
			list[i].Rcpts = slices.DeleteFunc(m.Rcpts, func(r store.OutRcpt) bool { return !wanted(rcptID(r)) })
		}
	}
	for _, id := range in.IDs {
		if !found[id] {
			return nil, adminErrorf("%q is not in the queue; see postrider queue list", id)
		}
	}
	return list, nil
}

func rcptID(r store.OutRcpt) string { return strconv.FormatInt(int64(r.ID), 10) }

func actOnQueue(ctx context.Context, a *admin, in queueArgs) (int, error) {
	actions := map[string]store.OutAction{"retry": store.OutRetry, "hold": store.OutHold,
		"release": store.OutRelease, "drop": store.OutDrop}
	action, ok := actions[in.Action]
	if !ok || len(in.IDs) == 0 && in.Dest == "" && !in.All {
		return 0, adminErrorf("nothing is selected; name ids, --dest or --all")
	}
	list, err := in.find(ctx, a)
	if err != nil {
		return 0, err
	}
	f := store.OutFilter{}
	for _, row := range rowsOf(list) {
		f.IDs = append(f.IDs, store.RcptID(row.ID))
	}
	if len(f.IDs) == 0 {
		return 0, nil
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
	return d, err
}

func runQueueList(c *cli, f *flags, args []string) error {
	var rows []queueRow
	return c.list(f, args, "queue.list", &rows, func(w io.Writer) { printQueue(w, rows) })
}

func printQueue(w io.Writer, rows []queueRow) {
	if len(rows) == 0 {
		fmt.Fprintln(w, "The queue is empty.")
		return
	}
	fmt.Fprintln(w, "ID\tMESSAGE\tSIZE\tFROM\tTO\tTRIES\tNEXT\tLAST")
	for _, r := range rows {
		next := r.Due.Local().Format(time.DateTime)
		if r.State == "held" {
			next = "held"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t<%s>\t<%s>\t%d\t%s\t%s\n", r.ID, r.Message, roughSize(r.Size), r.From, r.To, r.Attempts, next, printable(r.Last))
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
		fmt.Fprintf(w, "\n%s", printable(d.Header))
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
	f.StringVar(&in.Dest, "dest", "", "all recipients of a `DOMAIN`")
	f.BoolVar(&in.All, "all", false, "the whole queue")
	var err error
	if in.IDs, err = f.parse(args); err != nil {
		return err
	}
	if len(in.IDs) == 0 && in.Dest == "" && !in.All {
		return usagef("name ids, --dest DOMAIN or --all")
	}
	if in.All && (len(in.IDs) > 0 || in.Dest != "") {
		return usagef("--all goes alone")
	}
	var n int
	if err := c.do(f, "queue.act", in, nil, &n); err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "%s: %d\n", action, n)
	return nil
}
