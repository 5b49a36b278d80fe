package main

import (
	"context"
	"flag"
	"fmt"
)

const usersSummary = "list the users that the loads need, one USER:PASSWORD on each line"

// runUsers is the subcommand users: what a server's accounts are made of.
func runUsers(_ context.Context, c *cli, args []string) error {
	fs := flag.NewFlagSet("users", flag.ContinueOnError)
	s := Server{}
	fs.StringVar(&s.UserFormat, "user", defaultUser, "`FORMAT` of user names, with %d for the number")
	fs.StringVar(&s.Password, "password", defaultPassword, "`PASSWORD` of every user")
	if err := c.parse(fs, usersSummary, args); err != nil {
		return err
	}
	for n := 1; n <= usersTotal; n++ {
		fmt.Fprintf(c.stdout, "%s:%s\n", s.User(n), s.Password)
	}
	return nil
}
