package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"postrider/auth"
	"postrider/store"
)

const maxPasswordBytes = 1024

func accountCommand() command {
	return command{name: "account", summary: "Look after accounts.", sub: []command{
		{name: "add", args: "ADDRESS [--quota 5G] [--messages N] [--admin]", run: runAccountAdd,
			summary: "Make an account.\nThe password is read from standard input, or asked for on a terminal."},
		{name: "list", args: "[--json]", run: runAccountList, summary: "List the accounts."},
		{name: "passwd", args: "ADDRESS", run: runAccountPasswd,
			summary: "Give an account a new password, read from standard input or asked for."},
		{name: "quota", args: "ADDRESS SIZE [--messages N]", run: runAccountQuota, summary: "Limit an account to SIZE, and to N messages; 0 is no limit."},
		{name: "disable", args: "ADDRESS", summary: "Refuse logins, and put mail for the account off.",
			run: func(c *cli, f *flags, args []string) error { return runAccountSwitch(c, f, args, true) }},
		{name: "enable", args: "ADDRESS", summary: "Undo disable.",
			run: func(c *cli, f *flags, args []string) error { return runAccountSwitch(c, f, args, false) }},
		{name: "remove", args: "ADDRESS", run: runAccountRemove, summary: "Remove an account with all its mail."},
	}}
}

// accountInfo is one account in the answers and in JSON.
type accountInfo struct {
	Address  string    `json:"address"`
	Admin    bool      `json:"admin"`
	Disabled bool      `json:"disabled"`
	Quota    int64     `json:"quota"`          // bytes; 0 is unlimited
	MaxCount int64     `json:"quota_messages"` // 0 is unlimited
	Bytes    int64     `json:"bytes"`
	Messages int64     `json:"messages"`
	Created  time.Time `json:"created"`
}

type accountArgs struct {
	Address    string
	Credential store.Credential
	Admin      bool
	Quota      int64
	QuotaCount int64 // -1 leaves it
	Disabled   bool
}

func addAccount(ctx context.Context, a *admin, in accountArgs) (none, error) {
	addr, err := parseAddress(in.Address)
	if err != nil {
		return none{}, err
	}
	_, err = a.store.AddAccount(ctx, store.NewAccount{Address: addr, Credential: in.Credential, Admin: in.Admin, Quota: in.Quota, QuotaCount: in.QuotaCount})
	switch {
	case err == nil:
		a.changed("account added", "user", addr.String(), "admin", in.Admin)
		return none{}, nil
	case store.KindOf(err) == store.Exists:
		return none{}, adminErrorf("%s is an account or an alias already", addr)
	case store.KindOf(err) == store.NotFound:
		return none{}, adminErrorf("the domain %s is not here; add it with: postrider domain add %s", addr.Domain, addr.Domain)
	}
	return none{}, err
}

// find returns the account with exactly this address.
func (a *admin) find(ctx context.Context, address string) (*store.Account, error) {
	addr, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	e, err := a.store.Lookup(ctx, addr)
	switch {
	case err != nil && store.KindOf(err) == store.NotFound:
		return nil, adminErrorf("there is no account %s; see postrider account list", addr)
	case err != nil:
		return nil, err
	case e.Account == nil:
		return nil, adminErrorf("%s is an alias; use postrider alias", addr)
	}
	return e.Account, nil
}

func listAccounts(ctx context.Context, a *admin, _ none) ([]accountInfo, error) {
	list, err := a.store.Accounts(ctx)
	out := make([]accountInfo, len(list))
	for i, acc := range list {
		out[i] = accountInfo{Address: acc.Address.String(), Admin: acc.Admin, Disabled: acc.Disabled,
			Quota: acc.Quota, MaxCount: acc.QuotaCount, Bytes: acc.Bytes, Messages: acc.Count, Created: acc.Created}
	}
	return out, err
}

func setPassword(ctx context.Context, a *admin, in accountArgs) (none, error) {
	acc, err := a.find(ctx, in.Address)
	if err == nil {
		err = a.store.SetCredential(ctx, acc.ID, in.Credential)
	}
	if err == nil {
		a.changed("password set", "user", acc.Address.String())
	}
	return none{}, err
}

func setDisabled(ctx context.Context, a *admin, in accountArgs) (none, error) {
	acc, err := a.find(ctx, in.Address)
	if err == nil {
		err = a.store.SetDisabled(ctx, acc.ID, in.Disabled)
	}
	if err == nil {
		a.changed("account switched", "user", acc.Address.String(), "disabled", in.Disabled)
	}
	return none{}, err
}

func setQuota(ctx context.Context, a *admin, in accountArgs) (none, error) {
	acc, err := a.find(ctx, in.Address)
	if err == nil && in.QuotaCount < 0 {
		in.QuotaCount = acc.QuotaCount
	}
	if err == nil {
		err = a.store.SetQuota(ctx, acc.ID, in.Quota, in.QuotaCount)
	}
	if err == nil {
		a.changed("quota set", "user", acc.Address.String(), "quota", in.Quota, "messages", in.QuotaCount)
	}
	return none{}, err
}

func removeAccount(ctx context.Context, a *admin, in accountArgs) (none, error) {
	acc, err := a.find(ctx, in.Address)
	if err == nil {
		err = a.store.RemoveAccount(ctx, acc.ID)
	}
	if err == nil {
		a.changed("account removed", "user", acc.Address.String())
	}
	return none{}, err
}

func runAccountAdd(c *cli, f *flags, args []string) error {
	var in accountArgs
	var quota Size
	f.TextVar(&quota, "quota", Size(0), "limit of what the account may hold; `SIZE` such as 5G, 0 is no limit")
	countVar(f, &in.QuotaCount, "messages", "limit of how many messages the account may hold, `N`; 0 is no limit")
	f.BoolVar(&in.Admin, "admin", false, "the account may administer this server")
	address, err := oneArg(f, args, "the address")
	if err != nil {
		return err
	}
	in.Address, in.Quota = address, int64(quota)
	if in.Credential, err = c.readCredential(address); err != nil {
		return err
	}
	return c.do(f, "account.add", in, nil, nil)
}

func runAccountPasswd(c *cli, f *flags, args []string) error {
	address, err := oneArg(f, args, "the address")
	if err != nil {
		return err
	}
	cred, err := c.readCredential(address)
	if err != nil {
		return err
	}
	return c.do(f, "account.passwd", accountArgs{Address: address, Credential: cred}, nil, nil)
}

func runAccountQuota(c *cli, f *flags, args []string) error {
	in := accountArgs{QuotaCount: -1}
	countVar(f, &in.QuotaCount, "messages", "limit of how many messages the account may hold, `N`; 0 is no limit, without this it stays")
	args, err := f.parse(args)
	if err != nil {
		return err
	}
	var quota Size
	if len(args) != 2 {
		return usagef("the address and a size are needed")
	}
	if err := quota.UnmarshalText([]byte(args[1])); err != nil {
		return usageError{err.Error()}
	}
	in.Address, in.Quota = args[0], int64(quota)
	return c.do(f, "account.quota", in, nil, nil)
}

func runAccountSwitch(c *cli, f *flags, args []string, disabled bool) error {
	address, err := oneArg(f, args, "the address")
	if err != nil {
		return err
	}
	return c.do(f, "account.disabled", accountArgs{Address: address, Disabled: disabled}, nil, nil)
}

func runAccountRemove(c *cli, f *flags, args []string) error {
	address, err := oneArg(f, args, "the address")
	if err != nil {
		return err
	}
	return c.do(f, "account.remove", accountArgs{Address: address}, nil, nil)
}

func runAccountList(c *cli, f *flags, args []string) error {
	var list []accountInfo
	return c.list(f, args, "account.list", &list, func(w io.Writer) {
		fmt.Fprintln(w, "ADDRESS\tMESSAGES\tSIZE\tQUOTA\t")
		for _, a := range list {
			notes := ""
			if a.Admin {
				notes += " admin"
			}
			if a.Disabled {
				notes += " disabled"
			}
			quota := "-"
			if a.Quota > 0 {
				quota = Size(a.Quota).String()
			}
			if a.MaxCount > 0 {
				notes += fmt.Sprintf(" at most %d messages", a.MaxCount)
			}
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\n", a.Address, a.Messages, roughSize(a.Bytes), quota, strings.TrimSpace(notes))
		}
	})
}

// list runs an operation without arguments and prints its result: as JSON if
// --json says so, or else as print does, in columns.
func (c *cli) list(f *flags, args []string, name string, result any, print func(io.Writer)) error {
	asJSON := f.Bool("json", false, "print JSON")
	if err := f.parseFlags(args); err != nil {
		return err
	}
	if err := c.do(f, name, none{}, nil, result); err != nil {
		return err
	}
	return c.print(*asJSON, result, print)
}

func (c *cli) print(asJSON bool, result any, print func(io.Writer)) error {
	if asJSON {
		e := json.NewEncoder(c.stdout)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(result)
	}
	w := tabwriter.NewWriter(c.stdout, 0, 8, 2, ' ', 0)
	print(w)
	return w.Flush()
}

// roughSize is a size for people.
func roughSize(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n), 0
	for ; f >= 1024 && unit < len(sizeUnits); unit++ {
		f /= 1024
	}
	return fmt.Sprintf("%.1f %cB", f, sizeUnits[unit-1])
}

// oneArg parses arguments that must be flags and one word.
func oneArg(f *flags, args []string, what string) (string, error) {
	rest, err := f.parse(args)
	switch {
	case err != nil:
		return "", err
	case len(rest) == 0:
		return "", usagef("%s is missing", what)
	case len(rest) > 1:
		return "", usagef("%q is one word too many; a password is read from standard input, never from here", rest[1])
	}
	return rest[0], nil
}

// readCredential reads a password, from a terminal twice and unseen, and
// makes what is kept of it. The password itself goes nowhere else.
func (c *cli) readCredential(address string) (store.Credential, error) {
	if _, err := parseAddress(address); err != nil {
		return store.Credential{}, err // before somebody types a password twice
	}
	password, err := c.readPassword(address)
	if err != nil {
		return store.Credential{}, err
	}
	cred, err := auth.NewCredential(password)
	if err != nil {
		return store.Credential{}, fmt.Errorf("this password cannot be used: %w", err)
	}
	return cred, nil
}

func (c *cli) readPassword(address string) (string, error) {
	if in, ok := c.stdin.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		return c.askPassword(int(in.Fd()), address)
	}
	line, err := bufio.NewReader(io.LimitReader(c.stdin, maxPasswordBytes+2)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", err
	}
	line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	switch {
	case line == "":
		return "", fmt.Errorf("no password on standard input; write it there on one line")
	case len(line) > maxPasswordBytes:
		return "", fmt.Errorf("the password is longer than %d bytes", maxPasswordBytes)
	}
	return line, nil
}

func (c *cli) askPassword(fd int, address string) (string, error) {
	fmt.Fprintf(c.stderr, "Password for %s: ", address)
	first, err := term.ReadPassword(fd)
	fmt.Fprintln(c.stderr)
	if err != nil {
		return "", err
	}
	fmt.Fprint(c.stderr, "Once more: ")
	second, err := term.ReadPassword(fd)
	fmt.Fprintln(c.stderr)
	switch {
	case err != nil:
		return "", err
	case string(first) != string(second):
		return "", fmt.Errorf("the two passwords differ; try again")
	case len(first) == 0:
		return "", fmt.Errorf("an empty password is none; try again")
	}
	return string(first), nil
}
