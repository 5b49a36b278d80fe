"""Takes a delivery status notice (RFC 3464) from standard input apart with
Python's email package and checks it: notice.py ACTION RECIPIENT STATUS"""
import email, email.policy, sys

action, recipient, status = sys.argv[1:]
m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
print({k: m[k] for k in ("Return-Path", "From", "To", "Subject", "Auto-Submitted", "Content-Type")})
assert m.get_content_type() == "multipart/report", m.get_content_type()
assert m.get_param("report-type") == "delivery-status"
assert m["Return-Path"] == "<>", m["Return-Path"]
text, report, original = m.get_payload()
assert text.get_content_type() == "text/plain" and recipient in text.get_content()
print(text.get_content())
assert report.get_content_type() == "message/delivery-status"
per_message, *rcpts = report.get_payload()
print(per_message.as_string(), *(r.as_string() for r in rcpts), sep="\n")
assert per_message["Reporting-MTA"].startswith("dns;")
assert len(rcpts) == 1
assert rcpts[0]["Action"] == action and rcpts[0]["Status"] == status
assert rcpts[0]["Final-Recipient"].endswith(recipient)
assert original.get_content_type() in ("message/rfc822", "text/rfc822-headers"), original.get_content_type()
assert "Subject: " in original.as_string()
