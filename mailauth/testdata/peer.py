# Other implementations of DKIM, ARC and SPF, for comparison.
# usage: peer.py DNS.json COMMAND [ARGS] <message
import json, sys
import dkim, spf

dns = json.load(open(sys.argv[1]))


def txt(name, timeout=5):
    name = name.decode() if isinstance(name, bytes) else name
    found = dns.get("TXT " + name.rstrip(".").lower())
    return found[0].encode() if found else None


def lookup(name, qtype, strict=True, timeout=20):
    name = name.rstrip(".").lower()
    found = dns.get(qtype + " " + name, [])
    if found == ["!"]:
        raise spf.TempError("timeout")
    if qtype == "TXT":
        return [((name, qtype), (v.encode(),)) for v in found]
    if qtype == "MX":
        return [((name, qtype), (10, v)) for v in found]
    return [((name, qtype), v) for v in found]


command, args = sys.argv[2], sys.argv[3:]
if command == "verify":  # a list of kinds and messages; a line of results for each
    for kind, message in json.load(sys.stdin):
        message = message.encode()
        if kind == "arc":
            cv, results, reason = dkim.arc_verify(message, dnsfunc=txt)
            print((cv or b"ended").decode().lower())
            continue
        said = []
        for i in range(("\n" + message.decode().lower()).count("\ndkim-signature:")):
            try:
                said.append("pass" if dkim.DKIM(message).verify(idx=i, dnsfunc=txt) else "fail")
            except dkim.DKIMException:
                said.append("fail")
        print(" ".join(said))
elif command == "sign":
    selector, domain, key = args
    m = sys.stdin.buffer.read()
    sys.stdout.buffer.write(dkim.sign(m, selector.encode(), domain.encode(), open(key, "rb").read(), canonicalize=(b"relaxed", b"simple")) + m)
elif command == "seal":
    selector, domain, key, server = args
    m = sys.stdin.buffer.read()
    for field in reversed(dkim.arc_sign(m, selector.encode(), domain.encode(), open(key, "rb").read(), server.encode())):
        m = field + m
    sys.stdout.buffer.write(m)
elif command == "spf":
    spf.DNSLookup = lookup
    for line in sys.stdin:
        i, s, h = line.rstrip("\n").split("\t")
        print(spf.check2(i=i, s=s, h=h)[0])
