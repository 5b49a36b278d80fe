package mailauth

// Tally is what an aggregate report says of a message (RFC 9990 §3.1): all
// that is alike is one row with a count.
type Tally struct {
	Found       string      `json:"-"` // the domain whose record it is
	Addr        string      `json:"ip"`
	HeaderFrom  string      `json:"from"`
	Envelope    string      `json:"mfrom,omitempty"` // domain of the sender; empty for the null one
	Disposition string      `json:"done"`
	DKIM        bool        `json:"dkim,omitempty"` // passed and aligned
	SPF         bool        `json:"spf,omitempty"`
	Override    string      `json:"over,omitempty"` // why the policy was not followed
	Signatures  []Signature `json:"sigs,omitempty"`
	SPFDomain   string      `json:"spfd,omitempty"`
	SPFScope    string      `json:"spfs,omitempty"`
	SPFResult   Value       `json:"spfr"`
}

// Tallies are the rows for the domains that want reports of this message.
func (r *Result) Tallies() []Tally {
	var all []Tally
	for _, d := range r.judged {
		if len(d.record.RUA) == 0 || d.Result == TempError {
			continue
		}
		t := Tally{Found: d.Found, Addr: r.Addr, HeaderFrom: d.Domain, DKIM: d.DKIM, SPF: d.SPF, Disposition: "none",
			SPFDomain: r.SPF.Domain, SPFScope: r.SPF.Scope, SPFResult: r.SPF.Result}
		if r.SPF.Scope == "mfrom" {
			t.Envelope = r.SPF.Domain
		}
		switch {
		case d.Result == Pass:
			t.Disposition = "pass"
		case r.Verdict == Refuse:
			t.Disposition = string(AskReject)
		case r.Verdict == Junk:
			t.Disposition = string(AskQuarantine)
		}
		if d.Result == Fail {
			t.Override = r.override
		}
		for _, s := range r.DKIM {
			t.Signatures = append(t.Signatures, Signature{Domain: s.Domain, Selector: s.Selector, Result: s.Result})
		}
		all = append(all, t)
	}
	return all
}
