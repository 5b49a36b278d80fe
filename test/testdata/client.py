"""Sends a picture with smtplib and reads it with poplib and imaplib: what the
lecture's MIME example asks for, bit for bit, by Python's own mail clients.

client.py PASSWORD SUBMISSION SUBMISSION_TLS POP3 POP3_TLS IMAP IMAP_TLS
"""
import email, email.message, email.policy, hashlib, imaplib, poplib, re, smtplib, ssl, sys, time

password, submission, submission_tls, pop3, pop3_tls, imap, imap_tls = sys.argv[1:]
alice, bob = "alice@a.test", "bob@a.test"
tls = ssl.create_default_context()
tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE


def addr(a):
    host, port = a.rsplit(":", 1)
    return host, int(port)


# A JPEG's frame around bytes of every value; no decoder looks inside.
jpeg = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(range(256)) * 40 + b"\xff\xd9"

m = email.message.EmailMessage(policy=email.policy.SMTP)
m["From"], m["To"], m["Subject"] = alice, bob, "Bild: ein Gruß"
m.set_content("Hello Bob, here is the picture.\n")
m.add_attachment(jpeg, maintype="image", subtype="jpeg", filename="picture.jpg")
sent = m.as_bytes()

with smtplib.SMTP(*addr(submission), local_hostname="laptop.a.test") as c:
    c.starttls(context=tls)
    c.login(alice, password)
    assert c.send_message(m) == {}
with smtplib.SMTP_SSL(*addr(submission_tls), context=tls, local_hostname="laptop.a.test") as c:
    c.login(alice, password)
    try:
        c.sendmail("bob@a.test", [bob], b"Subject: forged\r\n\r\n")
        raise SystemExit("sending as somebody else was allowed")
    except smtplib.SMTPSenderRefused as e:
        print("as somebody else:", e.smtp_code, e.smtp_error)
    except smtplib.SMTPRecipientsRefused as e:
        print("as somebody else:", e.recipients)


def check(raw, how):
    got = email.message_from_bytes(raw, policy=email.policy.default)
    parts = [p for p in got.walk() if p.get_content_type() == "image/jpeg"]
    assert len(parts) == 1, how
    picture = parts[0].get_payload(decode=True)
    assert picture == jpeg, how + ": the picture is another"
    assert got["Subject"] == "Bild: ein Gruß", got["Subject"]
    assert got["Message-ID"] and got["Date"], "submission adds Date and Message-ID"
    print(how, hashlib.sha256(picture).hexdigest())


p = poplib.POP3(*addr(pop3))
p.stls(tls)
p.user(bob)
p.pass_(password)
count, octets = p.stat()
assert count == 1
raw = b"\r\n".join(p.retr(1)[1]) + b"\r\n"
assert len(raw) == octets, (len(raw), octets)
assert p.uidl(1).split()[1] == b"1"
check(raw, "POP3")
assert b"\r\n".join(p.top(1, 0)[1]).rstrip() in raw
p.quit()
p = poplib.POP3_SSL(*addr(pop3_tls), context=tls)
p.user(bob)
p.pass_(password)
assert p.capa()
p.quit()

i = imaplib.IMAP4(*addr(imap))
i.starttls(tls)
i.login(bob, password)
assert i.select("INBOX")[1] == [b"1"]
raw = i.fetch("1", "(BODY.PEEK[])")[1][0][1]
check(raw, "IMAP BODY[]")
structure = i.fetch("1", "(BODYSTRUCTURE)")[1][0].decode()
print(structure)
assert '"image" "jpeg"' in structure.lower() and "picture.jpg" in structure
part = i.fetch("1", "(BODY.PEEK[2])")[1][0][1]
size = re.search(r'"base64" (\d+)', structure[structure.lower().index('"image"'):], re.I).group(1)
assert int(size) == len(part), (size, len(part))
binary = i.fetch("1", "(BINARY.PEEK[2])")[1][0][1]
assert binary == jpeg, "BINARY[2] differs"
print("IMAP BINARY[2]", hashlib.sha256(binary).hexdigest())
assert i.store("1", "+FLAGS", r"(\Flagged)")[0] == "OK"
assert i.copy("1", "Archive")[0] == "OK"
assert i.create("Projekte/Gr&APwA3w-e")[0] == "OK"  # modified UTF-7 of Grüße
assert i.store("1", "+FLAGS", r"(\Deleted)")[0] == "OK"
assert i.expunge()[1] == [b"1"]
i.logout()
i = imaplib.IMAP4_SSL(*addr(imap_tls), ssl_context=tls)
i.login(bob, password)
assert i.select("Archive")[1] == [b"1"]
assert i.search(None, "SUBJECT", "Bild")[1] == [b"1"]
i.logout()
print("ok")
