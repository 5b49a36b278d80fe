package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"postrider/mail"
	"postrider/store"
)

func domainCommand() command {
	return command{name: "domain", summary: "look after the domains whose mail is taken here", sub: []command{
		{name: "add", args: "DOMAIN", run: runDomainAdd, summary: "Take mail for a domain."},
		{name: "list", args: "[--json]", run: runDomainList, summary: "List the domains."},
		{name: "remove", args: "DOMAIN", run: runDomainRemove, summary: "Remove a domain that has no accounts and aliases left."},
	}}
}

type domainInfo struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
}

func parseDomain(s string) (string, error) {
	name, err := mail.DomainKey(s)
	if err != nil {
		return "", adminErrorf("%q is no domain; write one such as example.org", s)
	}
	return name, nil
}

func addDomain(ctx context.Context, a *admin, in domainInfo) (none, error) {
	name, err := parseDomain(in.Name)
	if err != nil {
		return none{}, err
	}
	_, err = a.store.AddDomain(ctx, name)
	if err != nil && store.KindOf(err) == store.Exists {
		return none{}, adminErrorf("the domain %s is here already", name)
	}
	if err == nil {
		a.changed("domain added", "domain", name)
	}
	return none{}, err
}

func listDomains(ctx context.Context, a *admin, _ none) ([]domainInfo, error) {
	list, err := a.store.Domains(ctx)
	out := make([]domainInfo, len(list))
	for i, d := range list {
		out[i] = domainInfo{d.Name, d.Created}
	}
	return out, err
}

func removeDomain(ctx context.Context, a *admin, in domainInfo) (none, error) {
	name, err := parseDomain(in.Name)
	if err != nil {
		return none{}, err
	}
	err = a.store.RemoveDomain(ctx, name)
	switch {
	case err == nil:
		a.changed("domain removed", "domain", name)
	case store.KindOf(err) == store.NotFound:
		return none{}, adminErrorf("the domain %s is not here; see postrider domain list", name)
	case store.KindOf(err) == store.Exists:
		return none{}, adminErrorf("the domain %s has accounts or aliases; remove them first", name)
	}
	return none{}, err
}

func runDomainAdd(c *cli, f *flags, args []string) error {
	name, err := oneArg(f, args, "the domain")
	if err != nil {
		return err
	}
	return c.do(f, "domain.add", domainInfo{Name: name}, nil, nil)
}

func runDomainList(c *cli, f *flags, args []string) error {
	var list []domainInfo
	return c.list(f, args, "domain.list", &list, func(w io.Writer) {
		for _, d := range list {
			fmt.Fprintln(w, d.Name)
		}
	})
}

func runDomainRemove(c *cli, f *flags, args []string) error {
	name, err := oneArg(f, args, "the domain")
	if err != nil {
		return err
	}
	return c.do(f, "domain.remove", domainInfo{Name: name}, nil, nil)
}
