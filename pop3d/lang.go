package pop3d

import "strings"

// enableUTF8 is UTF8 (RFC 6856 §2.1): from now on headers come as they are.
func (c *conn) enableUTF8(string) error {
	c.utf8 = true
	c.ok("UTF-8 from now on")
	return nil
}

// lang is LANG (RFC 6856 §3). All texts are in English; what a client asks
// for is looked up as RFC 4647 §3.4 says, so that en-GB finds en.
func (c *conn) lang(arg string) error {
	if arg == "" {
		c.lines("languages follow", "en English", "i-default English")
		return nil
	}
	tag := "en"
	switch l := strings.ToLower(arg); {
	case l == "*" || l == "en" || strings.HasPrefix(l, "en-"):
	case l == "i-default":
		tag = "i-default" // RFC 2277 §4.5
	default:
		return errLanguage
	}
	c.ok("%s English it is", tag)
	return nil
}
