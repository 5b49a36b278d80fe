"""Reads mail with aerc on a terminal. Keys are typed when a text stands on it or
when the server has what the keys before are to bring about, never earlier: aerc
does in the background what it is told.

aerc.py CONFIG_DIR IMAP USER PASSWORD STEP...   each "screen:TEXT" (awaited), "type:KEYS" or
"server:MAILBOX COUNT KEY" (awaited: COUNT messages that SEARCH KEY finds)
"""
import fcntl, imaplib, os, pty, re, select, struct, sys, termios, time

config, imap, user, password = sys.argv[1:5]
steps = [s.split(":", 1) for s in sys.argv[5:]]
DEADLINE = time.monotonic() + 180
pid, fd = pty.fork()
if pid == 0:
    os.environ.update(XDG_CONFIG_HOME=config, TERM="xterm", LINES="40", COLUMNS="120")
    os.execvp("aerc", ["aerc"])
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
screen = ""


def more(seconds):
    """Reads what aerc draws; False when it has ended."""
    global screen
    if not select.select([fd], [], [], seconds)[0]:
        return True
    try:
        piece = os.read(fd, 65536).decode("utf-8", "replace")
    except OSError:
        return False
    # Without the sequences that place and colour it, and the spaces between.
    screen += re.sub(r"\x1b(\[[0-9;?>=]*[a-zA-Z]|[()][A-Z0-9]|[=>78])|\s", "", piece)
    return piece != ""


def until(what, test):
    while not test():
        if not more(0.1):
            raise SystemExit("aerc has ended before %s:\n%s" % (what, screen[-3000:]))
        if time.monotonic() > DEADLINE:
            raise SystemExit("waited in vain for %s:\n%s" % (what, screen[-3000:]))


def found(mailbox, key):
    with imaplib.IMAP4(*imap.rsplit(":", 1)) as c:
        c.login(user, password)
        c.select(mailbox, readonly=True)
        return len(c.search(None, key)[1][0].split())


for kind, text in steps:
    if kind == "screen":
        until("the screen has %r" % text, lambda: text.replace(" ", "") in screen)
        print("the screen has", text)
    elif kind == "server":
        mailbox, count, key = text.split(" ", 2)
        until("the server has %s" % text, lambda: found(mailbox, key) == int(count))
        print("the server has", text)
    else:
        screen = ""
        os.write(fd, text.replace("\n", "\r").encode())
        print("typed", text.replace("\n", " "))
while more(1):
    if time.monotonic() > DEADLINE:
        raise SystemExit("aerc does not end:\n%s" % screen[-3000:])
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print("ended with", status)
sys.exit(status)
