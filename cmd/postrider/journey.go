package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"postrider/mail"
	"postrider/mailauth"
	"postrider/store"
)

func journeyCommand() command {
	return command{name: "journey", args: "ID | MESSAGE-ID | QUEUE-ID [--account ADDRESS] [--json]", run: runJourney,
		summary: "Tell what became of a message.\nID is the one in the reply to the sender, in Received and in the log; MESSAGE-ID is that of the message's header;\n" +
			"QUEUE-ID is a recipient's, as in postrider queue list."}
}

// journeyArgs asks for a message; Account, if any, limits what is told to what
// that user may see.
type journeyArgs struct {
	ID      string
	Account string
}

// journeyOf is a journey as it is printed and as JSON.
type journeyOf struct {
	ID       string                     `json:"id"`
	Events   []store.Event              `json:"events"`
	Accounts map[store.AccountID]string `json:"accounts,omitempty"` // the addresses of those that the events name
}

var messageIDForm = regexp.MustCompile(`^[0-9a-v]{16}$`)

func showJourney(ctx context.Context, a *admin, in journeyArgs) ([]journeyOf, error) {
	ids, err := findJourneys(ctx, a, in.ID)
	if err != nil {
		return nil, err
	}
	var who *store.Account
	if in.Account != "" {
		if who, err = accountOf(ctx, a, in.Account); err != nil {
			return nil, err
		}
	}
	var found []journeyOf
	for _, id := range ids {
		j, err := a.store.Journey(ctx, id)
		if store.KindOf(err) == store.NotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		if who != nil && !who.Admin {
			var ok bool
			if j, ok = j.Scope(who.ID); !ok {
				continue
			}
		}
		names, err := accountsIn(ctx, a, j.Events)
		if err != nil {
			return nil, err
		}
		found = append(found, journeyOf{string(j.ID), j.Events, names})
	}
	if len(found) == 0 {
		return nil, adminErrorf("nothing is known of %q; journeys are kept for as long as [journey] keep says", in.ID)
	}
	return found, nil
}

// accountsIn finds the addresses of the accounts that events name; one that has
// been removed has none.
func accountsIn(ctx context.Context, a *admin, events []store.Event) (map[store.AccountID]string, error) {
	names := map[store.AccountID]string{}
	for _, ev := range events {
		switch ev.Kind {
		case store.EventFiled, store.EventFetched, store.EventExpunged:
		default:
			continue
		}
		id := eventData[struct {
			Account store.AccountID `json:"account"`
		}](&ev).Account
		if id == 0 || names[id] != "" {
			continue
		}
		switch acct, err := a.store.Account(ctx, id); {
		case store.KindOf(err) == store.NotFound:
		case err != nil:
			return nil, err
		default:
			names[id] = acct.Address.String()
		}
	}
	return names, nil
}

// account is an account as a journey names it.
func (j *journeyOf) account(id store.AccountID) string {
	if name := j.Accounts[id]; name != "" {
		return name
	}
	return fmt.Sprintf("account %d, which is no more", id)
}

// findJourneys takes what people have of a message: its id, its Message-ID, or
// a number in the queue.
func findJourneys(ctx context.Context, a *admin, id string) ([]mail.ID, error) {
	if lower := strings.ToLower(id); messageIDForm.MatchString(lower) {
		return []mail.ID{mail.ID(lower)}, nil
	}
	if strings.ContainsAny(id, "@<") { // some programs make one without an @
		return a.store.FindJourneys(ctx, store.JourneyQuery{MessageID: id})
	}
	if n, err := strconv.ParseInt(id, 10, 64); err == nil {
		return a.store.FindJourneys(ctx, store.JourneyQuery{Queue: n})
	}
	return nil, adminErrorf("%q is no id: it has 16 characters of 0-9 and a-v, or is a Message-ID with an @ or in <>, or a number of the queue", id)
}

func accountOf(ctx context.Context, a *admin, address string) (*store.Account, error) {
	addr, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	e, err := a.store.Lookup(ctx, addr)
	if store.KindOf(err) == store.NotFound || err == nil && e.Account == nil {
		return nil, adminErrorf("there is no account %s", addr)
	}
	return e.Account, err
}

func runJourney(c *cli, f *flags, args []string) error {
	asJSON := f.Bool("json", false, "print JSON")
	var in journeyArgs
	f.StringVar(&in.Account, "account", "", "only what the user with this `ADDRESS` may see")
	var err error
	if in.ID, err = oneArg(f, args, "the id"); err != nil {
		return err
	}
	var found []journeyOf
	if err := c.do(f, "journey", in, nil, &found); err != nil {
		return err
	}
	return c.print(*asJSON, found, func(w io.Writer) {
		for i, j := range found {
			if i > 0 {
				fmt.Fprintln(c.stdout)
			}
			printJourney(c.stdout, &j)
		}
	})
}

// printJourney writes a journey for people: a line for each event with what
// belongs to it below.
func printJourney(w io.Writer, j *journeyOf) {
	fmt.Fprintf(w, "Message %s\n", j.ID)
	day := ""
	for _, ev := range j.Events {
		at := ev.At.Local()
		if d := at.Format("Monday 2006-01-02"); d != day {
			fmt.Fprintf(w, "%s\n", d)
			day = d
		}
		head, more := j.describe(&ev)
		fmt.Fprintf(w, "  %s  %-9s  %s\n", at.Format("15:04:05.000"), ev.Kind, printable(head))
		for _, l := range more {
			fmt.Fprintf(w, "%27s%s\n", "", printable(l))
		}
	}
}

// describe puts an event into words: its line, and lines below it.
func (j *journeyOf) describe(ev *store.Event) (string, []string) {
	switch ev.Kind {
	case store.EventReceived, store.EventSubmitted:
		return describeArrival(ev.Kind, eventData[store.Arrival](ev))
	case store.EventChecked:
		return describeCheck(eventData[mailauth.Result](ev))
	case store.EventSigned:
		return strings.Join(eventData[struct {
			Why []string `json:"why"`
		}](ev).Why, "; "), nil
	case store.EventRefused:
		r := eventData[store.Refusal](ev)
		return fmt.Sprintf("%d %s %s", r.Code, r.Enhanced, r.Text), reasonsOf(r.Why)
	case store.EventFiled:
		f := eventData[store.FiledIn](ev)
		if f.UID == 0 {
			return "in the mailbox of " + addressList(f.To), nil
		}
		return fmt.Sprintf("in %s of %s as UID %d%s", f.Mailbox, j.account(f.Account), f.UID, forWhom(f.To)), nil
	case store.EventQueued:
		q := eventData[store.QueuedFor](ev)
		var more []string
		for _, r := range q.Rcpts {
			line := fmt.Sprintf("%d  %s", r.ID, angle(r.To))
			if r.Via != "" {
				line += " because of " + angle(r.Via)
			}
			more = append(more, line)
		}
		return fmt.Sprintf("for %d %s elsewhere, from %s", len(q.Rcpts), plural(len(q.Rcpts), "recipient"), angle(q.From)), more
	case store.EventAttempt:
		return describeAttempt(eventData[store.Attempt](ev))
	case store.EventDelivered, store.EventDeferred, store.EventBounced:
		return describeOutcome(ev, eventData[store.Outcome](ev))
	case store.EventNotice:
		n := eventData[store.NoticeOf](ev)
		if n.About != "" {
			return fmt.Sprintf("this tells %s that message %s %s", angle(n.To), n.About, told(n.Tells)), nil
		}
		return fmt.Sprintf("message %s tells %s that this one %s", n.Notice, angle(n.To), told(n.Tells)), nil
	case store.EventActed, store.EventLost:
		a := eventData[store.Acted](ev)
		return a.What + forWhom(a.To), nil
	case store.EventWaiting:
		x := eventData[store.Waiting](ev)
		state := "next attempt in " + roughly(x.Next.Sub(ev.At))
		if x.Dead != "" {
			state = x.Dead + " does not answer, " + state
		}
		switch {
		case x.Now:
			state = "an attempt is under way"
		case x.Held:
			state = "held by an operator"
		case !x.Next.After(ev.At):
			state = "an attempt is due"
		}
		return fmt.Sprintf("%s: %d %s so far, %s", addressList(x.To), x.Tries, plural(x.Tries, "attempt"), state), nil
	case store.EventFetched:
		f := eventData[store.FetchedBy](ev)
		return fmt.Sprintf("by %s for the first time, with %s", j.account(f.Account), strings.ToUpper(f.How)), nil
	case store.EventExpunged:
		x := eventData[store.ExpungedFrom](ev)
		return fmt.Sprintf("UID %d from %s of %s", x.UID, x.Mailbox, j.account(x.Account)), nil
	}
	return describeOther(ev)
}

// told is the action of a notice (RFC 3464 §2.3.3) in a sentence.
func told(action string) string {
	switch action {
	case "failed":
		return "could not be delivered"
	case "delayed":
		return "is late"
	case "relayed":
		return "was passed on"
	}
	return "was " + action
}

// describeCheck says what was found out about who a message is from.
func describeCheck(r mailauth.Result) (string, []string) {
	verdict := map[mailauth.Verdict]string{mailauth.Accept: "accepted", mailauth.Junk: "filed as junk", mailauth.Refuse: "refused",
		mailauth.Defer: "asked to come back later"}[r.Verdict]
	word := func(v mailauth.Value) string {
		if v == "" {
			return "none"
		}
		return string(v)
	}
	dkim := mailauth.None
	for _, s := range r.DKIM {
		if dkim = s.Result; dkim == mailauth.Pass {
			break
		}
	}
	return fmt.Sprintf("%s: SPF %s, DKIM %s, DMARC %s, ARC %s, iprev %s", verdict, word(r.SPF.Result), word(dkim), word(r.DMARC.Result),
		word(r.ARC.Result), word(r.IPRev.Result)), r.Reasons
}

func describeArrival(kind store.EventKind, a store.Arrival) (string, []string) {
	who := "by this server"
	switch {
	case a.User != "":
		who = "by " + a.User
	case a.Addr != "":
		who = "from " + a.Addr
	case kind == store.EventReceived:
		who = "over a local socket"
	case a.Proto != "": // what a recipient may see
		who = "by a user of this server"
	}
	if a.Proto != "" {
		who += " with " + a.Proto
	}
	more := []string{fmt.Sprintf("MAIL FROM %s, %s bytes", angle(a.From), strconv.FormatInt(a.Size, 10))}
	for _, to := range a.To {
		more = append(more, "RCPT TO "+angle(to))
	}
	var where []string
	if a.User != "" && a.Addr != "" {
		where = append(where, "from "+a.Addr)
	}
	if a.Helo != "" {
		where = append(where, "calls itself "+a.Helo)
	}
	if a.TLS != "" {
		where = append(where, a.TLS)
	} else if a.Proto != "" && a.Addr != "" {
		where = append(where, "no TLS")
	}
	if a.Auth != "" {
		where = append(where, "AUTH "+a.Auth)
	}
	if len(where) > 0 {
		more = append([]string{strings.Join(where, ", ")}, more...)
	}
	return who, more
}

func describeAttempt(a store.Attempt) (string, []string) {
	s := fmt.Sprintf("number %d at %s", a.Try, a.Dest)
	if a.Host != "" {
		s += ": " + a.Host
	}
	if a.Addr != "" {
		s += " (" + a.Addr + ")"
	}
	for _, more := range []string{a.TLS, a.Policy, a.Route} {
		if more != "" {
			s += ", " + more
		}
	}
	return fmt.Sprintf("%s, %d ms", s, a.Ms), a.Lines
}

func describeOutcome(ev *store.Event, o store.Outcome) (string, []string) {
	words := o.Words
	if ev.Kind == store.EventDeferred && !o.Next.IsZero() {
		words += "; next attempt in " + roughly(o.Next.Sub(ev.At))
	}
	said := o.Enhanced + " " + o.Text
	if o.Code != 0 {
		said = fmt.Sprintf("%d %s", o.Code, said)
	}
	return strings.TrimPrefix(addressList(o.To)+": "+words, ": "), []string{strings.TrimSpace(said)}
}

// describeOther is an event of a kind whose form is its author's: what is
// text in it, and reasons by line.
func describeOther(ev *store.Event) (string, []string) {
	fields := eventData[map[string]any](ev)
	var parts []string
	for _, k := range sortedKeys(fields) {
		if k == "why" || k == "reasons" {
			continue
		}
		parts = append(parts, k+"="+flat(fields[k]))
	}
	var why []string
	for _, k := range []string{"why", "reasons"} {
		l, _ := fields[k].([]any)
		for _, x := range l {
			why = append(why, fmt.Sprint(x))
		}
	}
	if len(parts) == 0 && len(why) > 0 {
		return why[0], reasonsOf(why[1:])
	}
	return strings.Join(parts, " "), reasonsOf(why)
}

func reasonsOf(why []string) []string {
	var out []string
	for _, w := range why {
		out = append(out, "because "+w)
	}
	return out
}

func angle(a string) string { return "<" + a + ">" }

func addressList(addrs []string) string {
	const most = 5
	var b []string
	for _, a := range addrs[:min(len(addrs), most)] {
		b = append(b, angle(a))
	}
	if n := len(addrs) - most; n > 0 {
		b = append(b, fmt.Sprintf("and %d more", n))
	}
	return strings.Join(b, ", ")
}

func forWhom(to []string) string {
	if len(to) == 0 {
		return ""
	}
	return ", for " + addressList(to)
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// roughly is a time that somebody has to wait: "30 minutes".
func roughly(d time.Duration) string {
	say := func(n int, unit string) string { return fmt.Sprintf("%d %s", n, plural(n, unit)) }
	switch {
	case d < 90*time.Second:
		return say(max(int(d.Round(time.Second).Seconds()), 0), "second")
	case d < 90*time.Minute:
		return say(int(d.Round(time.Minute).Minutes()), "minute")
	case d < 36*time.Hour:
		return say(int(d.Round(time.Hour).Hours()), "hour")
	}
	return say(int(d.Round(24*time.Hour).Hours()/24), "day")
}
