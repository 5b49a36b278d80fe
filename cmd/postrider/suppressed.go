package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"postrider/store"
)

func suppressedCommand() command {
	return command{name: "suppressed", summary: "Look after addresses that nothing is sent to, since mail to them came back.", sub: []command{
		{name: "list", args: "[--json]", run: runSuppressedList, summary: "List them, and those that mail has come back from so far."},
		{name: "add", args: "ADDRESS [--for TIME] [--reason TEXT]", summary: "Send nothing to an address.",
			run: func(c *cli, f *flags, args []string) error { return runSuppressedSet(c, f, args, true) }},
		{name: "remove", args: "ADDRESS", summary: "Send to an address again.",
			run: func(c *cli, f *flags, args []string) error { return runSuppressedSet(c, f, args, false) }},
	}}
}

// suppressedRow is an address that nothing is sent to, or soon.
type suppressedRow struct {
	Address string    `json:"address"`
	Active  bool      `json:"active"`
	Until   time.Time `json:"until,omitzero"`
	Refused int       `json:"refused"`
	At      time.Time `json:"at"`
	Reason  string    `json:"reason"`
}

// suppressedArgs puts an address on the list, or takes it off.
type suppressedArgs struct {
	Address string
	On      bool
	For     time.Duration
	Reason  string
}

// suppressLong is how long an operator's word holds if he does not say.
const suppressLong = 100 * 365 * 24 * time.Hour

func listSuppressed(ctx context.Context, a *admin, _ none) ([]suppressedRow, error) {
	list, err := a.store.Suppressions(ctx)
	rows := []suppressedRow{}
	for _, s := range list {
		rows = append(rows, suppressedRow{s.Address.String(), time.Now().Before(s.Until), s.Until, s.Refused, s.At, s.Reason})
	}
	return rows, err
}

func setSuppressed(ctx context.Context, a *admin, in suppressedArgs) (none, error) {
	addr, err := parseAddress(in.Address)
	if err != nil {
		return none{}, err
	}
	if in.On {
		err = a.store.Suppress(ctx, store.Suppression{Address: addr, Until: time.Now().Add(in.For), Reason: in.Reason})
	} else if err = a.store.Unsuppress(ctx, addr); store.KindOf(err) == store.NotFound && err != nil {
		return none{}, adminErrorf("%s is not suppressed; see postrider queue suppressed list", addr)
	}
	if err == nil {
		a.changed("suppressed", "address", addr.String(), "on", in.On)
	}
	return none{}, err
}

func runSuppressedList(c *cli, f *flags, args []string) error {
	var rows []suppressedRow
	return c.list(f, args, "suppressed.list", &rows, func(w io.Writer) {
		if len(rows) == 0 {
			fmt.Fprintln(w, "No address is suppressed.")
			return
		}
		fmt.Fprintln(w, "ADDRESS\tUNTIL\tREFUSED\tREASON")
		for _, r := range rows {
			until := "not yet"
			if r.Active {
				until = r.Until.Local().Format(time.DateOnly)
			}
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", r.Address, until, r.Refused, printable(r.Reason))
		}
	})
}

func runSuppressedSet(c *cli, f *flags, args []string, on bool) error {
	in := suppressedArgs{On: on, For: suppressLong}
	long := ""
	if on {
		f.StringVar(&long, "for", "", "for this `TIME`, as 30d; without it for ever")
		f.StringVar(&in.Reason, "reason", "by an operator", "`TEXT` for the list")
	}
	var err error
	if in.Address, err = oneArg(f, args, "the address"); err != nil {
		return err
	}
	if long != "" {
		var d Duration
		if err := d.UnmarshalText([]byte(long)); err != nil || d <= 0 {
			return usagef("--for %q is no time; write one such as 30d", long)
		}
		in.For = time.Duration(d)
	}
	return c.do(f, "suppressed.set", in, nil, nil)
}
