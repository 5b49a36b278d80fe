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
	return command{name: "domain", summary: "Look after the domains whose mail is taken here.", sub: []command{
		{name: "add", args: "DOMAIN", run: runDomainAdd, summary: "Take mail for a domain, and make the keys that sign its mail.\n" +
			"postrider domain dns prints what to publish."},
		{name: "list", args: "[--json]", run: runDomainList, summary: "List the domains."},
		{name: "rotate", args: "[--now] DOMAIN", run: runDomainRotate, summary: "Change the keys that sign a domain's mail.\n" +
			"The first time it makes the next keys and prints what to publish; once that can be seen in the DNS, run again it lets them sign."},
		{name: "dns", args: "[--json] [--offline] DOMAIN", run: runDomainDNS, summary: "Print the DNS records of a domain as a zone file, with what is published now.\n" +
			"Exit status 1 if a record that mail needs is missing or wrong."},
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
		err = firstKeys(ctx, a.store, name)
		a.publish(ctx)
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
