"""Drives Thunderbird by Marionette, its remote protocol: an account is set up,
its folders have their roles, a message is read, flagged, moved, deleted, one is
sent and saved to Sent; screenshots are kept.

thunderbird.py PROFILE IMAP SUBMISSION CERTIFICATE USER PASSWORD FRIEND SCREENSHOT SCREENSHOT_OF_SENT
"""
import base64, ctypes, json, os, signal, socket, subprocess, sys, time

profile, imap, submission, certificate, user, password, friend, screenshot, sent_screenshot = sys.argv[1:]
DEADLINE = time.monotonic() + 200


def split(addr):
    host, port = addr.rsplit(":", 1)
    return host, int(port)


(imap_host, imap_port), (smtp_host, smtp_port) = split(imap), split(submission)
PR_SET_PDEATHSIG = 1

prefs = {
    "mail.identity.default.compose_html": False,
    "mail.server.default.autosync_offline_stores": False,
    "mail.server.default.check_new_mail": False,
    # Nothing that asks, looks elsewhere or comes by itself.
    "marionette.port": 0,
    "app.donation.eoy.version.viewed": 999,
    "app.update.disabledForTesting": True,
    "browser.safebrowsing.downloads.remote.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "calendar.timezone.local": "UTC",
    "datareporting.policy.dataSubmissionEnabled": False,
    "datareporting.policy.dataSubmissionPolicyBypassNotification": True,
    "extensions.update.enabled": False,
    "extensions.getAddons.cache.enabled": False,
    "mail.biff.show_alert": False,
    "mail.chat.enabled": False,
    "mail.inappnotifications.enabled": False,
    "mail.provider.suppress_dialog_on_startup": True,
    "mail.rights.version": 1,
    "mail.shell.checkDefaultClient": False,
    "mail.spam.version": 1,
    "mail.spellcheck.inline": False,
    "mail.winsearch.firstRunDone": True,
    "mailnews.start_page.enabled": False,
    "mailnews.start_page_override.mstone": "ignore",
    "mailnews.mark_message_read.auto": True,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,none",
    "toolkit.telemetry.enabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}
with open(os.path.join(profile, "user.js"), "w") as f:
    for name, value in prefs.items():
        f.write("user_pref(%s, %s);\n" % (json.dumps(name), json.dumps(value)))


class Marionette:
    """A connection: messages are "length:JSON"."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=150)
        self.id = 0
        self.buffer = b""
        self.read()  # the greeting

    def read(self):
        while b":" not in self.buffer:
            self.more()
        size, self.buffer = self.buffer.split(b":", 1)
        while len(self.buffer) < int(size):
            self.more()
        text, self.buffer = self.buffer[: int(size)], self.buffer[int(size) :]
        return json.loads(text)

    def more(self):
        piece = self.socket.recv(65536)
        if not piece:
            raise SystemExit("Thunderbird has gone")
        self.buffer += piece

    def command(self, name, **args):
        self.id += 1
        text = json.dumps([0, self.id, name, args]).encode()
        self.socket.sendall(b"%d:%s" % (len(text), text))
        kind, id, error, result = self.read()
        if error:
            raise SystemExit("%s: %s\n%s" % (name, error.get("message"), error.get("stacktrace", "")[:1000]))
        return result.get("value", result) if isinstance(result, dict) else result

    def run(self, script, *args):
        """Runs the body of an asynchronous function in the main window."""
        body = """
            const done = arguments[arguments.length - 1];
            const args = [...arguments];
            (async () => { %s })().then(v => done({value: v === undefined ? null : v}), e => done({error: String(e) + "\\n" + e.stack}));
        """ % (HELPERS + script)
        result = self.command("WebDriver:ExecuteAsyncScript", script=body, args=list(args), newSandbox=True, sandbox="system", scriptTimeout=120000)
        if "error" in result:
            raise SystemExit("in Thunderbird: " + result["error"])
        return result["value"]


HELPERS = """
    const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
    const win = Services.wm.getMostRecentWindow("mail:3pane");
    const account = MailServices.accounts.accounts.find(a => a.incomingServer.type == "imap");
    const root = account?.incomingServer.rootFolder;
    const named = name => root.subFolders.find(f => f.prettyName == name || f.name == name);
    const inbox = () => root.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox);
    const pane = () => win.document.getElementById("tabmail").currentAbout3Pane;
    const until = async (what, test) => {
        for (let n = 0; n < 4000; n++) {
            const v = await test();
            if (v) return v;
            await new Promise(r => win.setTimeout(r, 25));
        }
        throw new Error("waited in vain: " + what);
    };
    const messages = folder => [...folder.messages];
    const open = async folder => {
        await until("the folder's pane", () => pane() && pane().displayFolder);
        pane().displayFolder(folder.URI);
        await until("the view of " + folder.name, () => pane().gFolder == folder && pane().gDBView && pane().gDBView.rowCount > 0);
    };
    const select = async subject => {
        const view = pane().gDBView;
        for (let i = 0; i < view.rowCount; i++) {
            if (view.getMsgHdrAt(i).mime2DecodedSubject == subject) {
                pane().threadTree.selectedIndex = i;
                return until("the message " + subject, () => pane().gDBView.numSelected == 1 && view.getMsgHdrAt(i));
            }
        }
        throw new Error("no message " + subject);
    };
"""


def start():
    env = dict(os.environ, MOZ_CRASHREPORTER_DISABLE="1", MOZ_DISABLE_CONTENT_SANDBOX="1", LC_ALL="C.UTF-8", NO_AT_BRIDGE="1",
               MOZ_LOG="IMAP:4", MOZ_LOG_FILE=os.path.join(profile, "imap.log"))
    log = open(os.path.join(profile, "thunderbird.log"), "w")
    p = subprocess.Popen(["thunderbird", "--profile", profile, "--no-remote", "--marionette", "--remote-allow-system-access"],
                         env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                         preexec_fn=lambda: ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
    port = os.path.join(profile, "MarionetteActivePort")
    while time.monotonic() < DEADLINE:
        if p.poll() is not None:
            raise SystemExit("Thunderbird ended at once: " + open(log.name).read()[-2000:])
        try:
            with open(port) as f:
                return p, Marionette(int(f.read()))
        except (OSError, ValueError):
            time.sleep(0.1)
    raise SystemExit("Thunderbird does not answer: " + open(log.name).read()[-2000:])


def main():
    process, m = start()
    try:
        talk(m)
    except BaseException:
        picture(m, screenshot)  # of where it stands
        raise
    finally:
        try:
            m.command("Marionette:Quit", flags=["eAttemptQuit"])
            process.wait(20)
        except BaseException as e:
            print("quitting:", e)
            process.kill()
            process.wait()


def picture(m, name):
    shot = m.command("WebDriver:TakeScreenshot", full=True, hash=False)
    with open(name, "wb") as f:
        f.write(base64.b64decode(shot))


def talk(m):
    m.command("WebDriver:NewSession", capabilities={"alwaysMatch": {"acceptInsecureCerts": True}})
    m.command("Marionette:SetContext", value="chrome")
    m.command("WebDriver:SetTimeouts", script=120000)
    with open(certificate) as f:
        pem = "".join(line for line in f.read().split("-----END")[0].splitlines() if "-----" not in line)
    # The certificate that the server made itself, which a person confirms.
    m.run("""
        await until("the window", () => Services.wm.getMostRecentWindow("mail:3pane"));
        const cert = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB).constructX509FromBase64(args[0]);
        const overrides = Cc["@mozilla.org/security/certoverride;1"].getService(Ci.nsICertOverrideService);
        for (const [host, port] of [[args[1], args[2]], [args[3], args[4]]])
            overrides.rememberValidityOverride(host, port, {}, cert, false);
    """, pem, imap_host, imap_port, smtp_host, smtp_port)
    print("started:", m.run("return Services.appinfo.name + ' ' + Services.appinfo.version"))

    # What stands behind the button of the dialogue that sets accounts up: the settings are tried by a login, a wrong
    # password is told, and then the account is made.
    wrong = m.run("""
        const module = name => ChromeUtils.importESModule("resource:///modules/accountcreation/" + name + ".sys.mjs")[name];
        const settings = password => {
            const config = new (module("AccountConfig"))();
            const login = {username: args[4], password, socketType: Ci.nsMsgSocketType.alwaysSTARTTLS, auth: Ci.nsMsgAuthMethod.passwordCleartext};
            Object.assign(config.incoming, login, {type: "imap", hostname: args[0], port: args[1], loginAtStartup: false});
            Object.assign(config.outgoing, login, {type: "smtp", hostname: args[2], port: args[3]});
            Object.assign(config.identity, {realname: "Alice", emailAddress: args[4]});
            config.rememberPassword = true;
            return config;
        };
        const verify = config => new (module("ConfigVerifier"))(null, new AbortController().signal).verifyConfig(config, false);
        const wrong = await verify(settings("wrong " + args[5])).then(() => "accepted", e => e.message);
        await module("CreateInBackend").createAccountInBackend(await verify(settings(args[5])));
        return wrong;
    """, imap_host, imap_port, smtp_host, smtp_port, user, password)
    assert wrong != "accepted", wrong
    print("set up; to a wrong password Thunderbird says:", wrong)

    m.run("""
        account.incomingServer.getNewMessages(root, null, null);
        await until("the inbox and other folders", () => inbox() && named("Sent") && named("Trash"));
        await until("two messages", () => messages(inbox()).length == 2);
    """)
    roles = m.run("""
        const F = Ci.nsMsgFolderFlags;
        const all = {Inbox: F.Inbox, Drafts: F.Drafts, Sent: F.SentMail, Trash: F.Trash, Junk: F.Junk, Archive: F.Archive};
        return Object.fromEntries(Object.entries(all).map(([k, f]) => [k, root.getFolderWithFlags(f)?.name]));
    """)
    print("roles:", roles)
    roles["Inbox"] = roles["Inbox"].upper()  # the versions disagree
    assert roles == {"Inbox": "INBOX", "Drafts": "Drafts", "Sent": "Sent", "Trash": "Trash", "Junk": "Junk", "Archive": "Archive"}, roles

    text = m.run("""
        await open(inbox());
        const hdr = await select("to be read");
        const message = () => pane().messageBrowser.contentWindow;
        await until("the text", () => message().getMessagePaneBrowser?.().contentDocument?.body?.textContent.includes("..and one with two")
            || message().document.getElementById("messagepane")?.contentDocument?.body?.textContent.includes("..and one with two"));
        await until("the message counts as read", () => hdr.isRead);
        return message().document.getElementById("messagepane").contentDocument.body.textContent;
    """)
    assert "From here on: grüße" in text, text
    print("read:", text.strip().split("\n")[0])
    picture(m, screenshot)
    m.run("""
        const hdr = await select("to be read");
        pane().commandController.doCommand("cmd_markAsFlagged");
        await until("the star", () => hdr.isFlagged);
        pane().commandController.doCommand("cmd_moveMessage", named("Archive"));
        await until("the move", () => !messages(inbox()).some(h => h.mime2DecodedSubject == "to be read"));
        await select("to be deleted");
        pane().commandController.doCommand("cmd_delete");
        await until("the deletion", () => messages(inbox()).length == 0);
    """)
    print("flagged, moved, deleted")

    m.run("""
        const fields = Cc["@mozilla.org/messengercompose/composefields;1"].createInstance(Ci.nsIMsgCompFields);
        fields.to = args[0];
        fields.subject = "sent by Thunderbird";
        fields.body = "Hello Bob,\\nthis is Thunderbird. Grüße!\\n";
        const params = Cc["@mozilla.org/messengercompose/composeparams;1"].createInstance(Ci.nsIMsgComposeParams);
        params.composeFields = fields;
        params.identity = account.defaultIdentity;
        params.type = Ci.nsIMsgCompType.New;
        params.format = Ci.nsIMsgCompFormat.PlainText;
        MailServices.compose.OpenComposeWindowWithParams(null, params);
        const compose = await until("the window to write in", () => {
            const w = Services.wm.getMostRecentWindow("msgcompose");
            return w && w.composeEditorReady && w.gMsgCompose && w;
        });
        const sent = until("the window is closed", () => compose.closed);
        compose.goDoCommand("cmd_sendNow");
        await sent;
    """, friend)
    print("sent")
    m.run("""
        const sent = root.getFolderWithFlags(Ci.nsMsgFolderFlags.SentMail);
        sent.updateFolder(null);
        await until("the copy in Sent", () => messages(sent).length == 1);
        await open(sent);
        await select("sent by Thunderbird");
        const message = () => pane().messageBrowser.contentWindow;
        await until("the copy's text", () => message().document.getElementById("messagepane")?.contentDocument?.body?.textContent.includes("Grüße!"));
        return null;
    """)
    picture(m, sent_screenshot)
    print("found in Sent")


main()
with open(os.path.join(profile, "imap.log.moz_log"), errors="replace") as f:
    dialogue = f.read()
assert "OK DEFLATE active" in dialogue, "Thunderbird did not compress"
print("compressed, by", dialogue.count(" COMPRESS DEFLATE"), "connections")
print("ok")
