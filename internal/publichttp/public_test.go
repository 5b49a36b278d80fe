package publichttp

import (
	"net/netip"
	"testing"
)

func TestPublic(t *testing.T) {
	for a, want := range map[string]bool{"8.8.8.8": true, "2600::1": true, "127.0.0.1": false, "10.1.2.3": false, "100.64.0.1": false,
		"169.254.169.254": false, "172.31.255.255": false, "192.168.1.1": false, "0.0.0.0": false, "255.255.255.255": false, "224.0.0.1": false,
		"::1": false, "::": false, "fe80::1": false, "fd00::1": false, "::ffff:127.0.0.1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false,
		"::ffff:8.8.8.8": true, "::7f00:1": false, "2001:db8::1": false, "fec0::1": false, "ff02::1": false, "2001:0:1::": false,
		"::ffff:0:7f00:1": false, "1fff::1": false, "3ffe::1": true, "4000::1": false, "8000::1": false, "64:ff9b:1::1": false, "5f00::1": false} {
		if IsPublic(netip.MustParseAddr(a)) != want {
			t.Errorf("%s: %v", a, !want)
		}
	}
}
