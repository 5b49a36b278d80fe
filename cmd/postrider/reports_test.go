package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestManyReports: what is read of all reports together is bounded; old ones do
// not count, and what comes twice counts once.
func TestManyReports(t *testing.T) {
	report := func(id int, end string) *strings.Reader {
		return strings.NewReader("<feedback><report_metadata><report_id>" + fmt.Sprint(id) + "</report_id><date_range><end>" + end + "</end></date_range></report_metadata>" +
			"<policy_published><domain>a.test</domain></policy_published>" + strings.Repeat("<record/>", maxReportRecords/15) + "</feedback>")
	}
	var s reportSet
	since := time.Unix(1000, 0)
	s.add(report(0, "999"), since)
	for id := range 17 {
		s.add(report(id, "1000"), since)
		s.add(report(id, "1000"), since)
	}
	s.add(strings.NewReader("hello"), since)
	if len(s.DMARC) != 15 || s.Left != 2 || s.Other != 1 {
		t.Errorf("%d read, %d left, %d others", len(s.DMARC), s.Left, s.Other)
	}
}
