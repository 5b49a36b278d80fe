package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"postrider/mail"
	"postrider/store"
)

func aliasCommand() command {
	return command{name: "alias", summary: "Look after aliases.", sub: []command{
		{name: "add", args: "ADDRESS TARGET…", run: runAliasAdd,
			summary: "Send mail for ADDRESS on to the targets, here or elsewhere, in place of those before.\n" +
				"@example.org stands for every address of the domain that is neither account nor alias."},
		{name: "list", args: "[--json]", run: runAliasList, summary: "List the aliases."},
		{name: "remove", args: "ADDRESS", run: runAliasRemove, summary: "Remove an alias."},
	}}
}

type aliasInfo struct {
	Address string   `json:"address"`
	Targets []string `json:"targets"`
}

// aliasAddress reads an alias's own address, which may be a catch-all.
func aliasAddress(s string) (mail.Address, error) {
	if domain, ok := strings.CutPrefix(s, "@"); ok {
		name, err := mail.DomainKey(domain)
		if err != nil {
			return mail.Address{}, adminErrorf("%q is no domain; write @example.org for all of its addresses", domain)
		}
		return mail.Address{Domain: name}, nil
	}
	return parseAddress(s)
}

// aliasText is the inverse of aliasAddress.
func aliasText(a mail.Address) string {
	if a.Local == "" {
		return "@" + a.Domain
	}
	return a.String()
}

func addAlias(ctx context.Context, a *admin, in aliasInfo) (none, error) {
	addr, err := aliasAddress(in.Address)
	if err != nil {
		return none{}, err
	}
	alias := store.Alias{Address: addr}
	for _, t := range in.Targets {
		target, err := parseAddress(t)
		if err != nil {
			return none{}, err
		}
		alias.Targets = append(alias.Targets, target)
	}
	err = a.store.SetAlias(ctx, alias)
	switch {
	case err == nil:
		a.changed("alias set", "rcpt", aliasText(addr), "targets", len(alias.Targets))
		return none{}, nil
	case store.KindOf(err) == store.Exists:
		return none{}, adminErrorf("%s is an account; remove it first, or choose another address", addr)
	case store.KindOf(err) == store.NotFound:
		return none{}, adminErrorf("the domain %s is not here; add it with: postrider domain add %s", addr.Domain, addr.Domain)
	}
	return none{}, err
}

func listAliases(ctx context.Context, a *admin, _ none) ([]aliasInfo, error) {
	list, err := a.store.Aliases(ctx)
	out := make([]aliasInfo, len(list))
	for i, alias := range list {
		out[i] = aliasInfo{Address: aliasText(alias.Address)}
		for _, t := range alias.Targets {
			out[i].Targets = append(out[i].Targets, t.String())
		}
	}
	return out, err
}

func removeAlias(ctx context.Context, a *admin, in aliasInfo) (none, error) {
	addr, err := aliasAddress(in.Address)
	if err != nil {
		return none{}, err
	}
	err = a.store.RemoveAlias(ctx, addr)
	if err != nil && store.KindOf(err) == store.NotFound {
		return none{}, adminErrorf("there is no alias %s; see postrider alias list", aliasText(addr))
	}
	if err == nil {
		a.changed("alias removed", "rcpt", aliasText(addr))
	}
	return none{}, err
}

func runAliasAdd(c *cli, f *flags, args []string) error {
	args, err := f.parse(args)
	if err != nil {
		return err
	}
	if len(args) < 2 {
		return usagef("the address and one target at least are needed")
	}
	return c.do(f, "alias.add", aliasInfo{args[0], args[1:]}, nil, nil)
}

func runAliasList(c *cli, f *flags, args []string) error {
	var list []aliasInfo
	return c.list(f, args, "alias.list", &list, func(w io.Writer) {
		for _, a := range list {
			fmt.Fprintf(w, "%s\t→ %s\n", a.Address, strings.Join(a.Targets, ", "))
		}
	})
}

func runAliasRemove(c *cli, f *flags, args []string) error {
	address, err := oneArg(f, args, "the address")
	if err != nil {
		return err
	}
	return c.do(f, "alias.remove", aliasInfo{Address: address}, nil, nil)
}
