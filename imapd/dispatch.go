package imapd

import "postrider/imapd/wire"

// stateSet is in which states of the connection a command may be given (RFC
// 9051 §3).
type stateSet uint8

const (
	inNotAuth stateSet = 1 << iota
	inAuth
	inSelected

	inAny    = inNotAuth | inAuth | inSelected
	loggedIn = inAuth | inSelected
)

// command is what the loop has to know of one.
type command struct {
	states  stateSet
	expunge bool // EXPUNGE may be told before its tagged response (RFC 9051 §7.5.1)
	writes  bool // refused in a mailbox that was opened by EXAMINE
	numbers bool // names messages by sequence numbers: refused with UIDONLY (RFC 9586 §3.2)

	// run reads the arguments, from the space behind the command's name to
	// the end of the line, and carries the command out if they are right.
	// nil is OK; errors are made by no and badCommand, or are the decoder's.
	run func(*session, *wire.Decoder) error
	// after is done behind OK, if it is not nil.
	after func(*session)
}

// commands is the dispatch table.
func commands() map[string]command {
	return map[string]command{
		"CAPABILITY": {states: inAny, expunge: true, run: (*session).cmdCapability},
		"ID":         {states: inAny, expunge: true, run: (*session).cmdID},
		"NOOP":       {states: inAny, expunge: true, run: (*session).cmdNoop},
		"LOGOUT":     {states: inAny, run: (*session).cmdLogout, after: (*session).loggedOut},

		"STARTTLS":     {states: inNotAuth, run: (*session).cmdStartTLS, after: (*session).startTLS},
		"AUTHENTICATE": {states: inNotAuth, run: (*session).cmdAuthenticate},
		"LOGIN":        {states: inNotAuth, run: (*session).cmdLogin},

		"UNAUTHENTICATE": {states: loggedIn, run: (*session).cmdUnauthenticate, after: (*session).endCompress},

		"ENABLE":   {states: loggedIn, expunge: true, run: (*session).cmdEnable},
		"SELECT":   {states: loggedIn, run: (*session).cmdSelect},
		"EXAMINE":  {states: loggedIn, run: (*session).cmdSelect},
		"UNSELECT": {states: inSelected, run: (*session).cmdUnselect},
		"CLOSE":    {states: inSelected, run: (*session).cmdClose},
		"CHECK":    {states: inSelected, expunge: true, run: (*session).cmdNoop},
		"NOTIFY":   {states: loggedIn, expunge: true, run: (*session).cmdNotify},
		"COMPRESS": {states: loggedIn, expunge: true, run: (*session).cmdCompress, after: (*session).startCompress},
		"IDLE":     {states: loggedIn, expunge: true, run: (*session).cmdIdle},

		"CREATE":      {states: loggedIn, expunge: true, run: (*session).cmdCreate},
		"DELETE":      {states: loggedIn, expunge: true, run: (*session).cmdDelete},
		"RENAME":      {states: loggedIn, expunge: true, run: (*session).cmdRename},
		"SUBSCRIBE":   {states: loggedIn, expunge: true, run: (*session).cmdSubscribe},
		"UNSUBSCRIBE": {states: loggedIn, expunge: true, run: (*session).cmdSubscribe},
		"LIST":        {states: loggedIn, expunge: true, run: (*session).cmdList},
		"LSUB":        {states: loggedIn, expunge: true, run: (*session).cmdLsub},
		"NAMESPACE":   {states: loggedIn, expunge: true, run: (*session).cmdNamespace},
		"STATUS":      {states: loggedIn, expunge: true, run: (*session).cmdStatus},

		"SETACL":     {states: loggedIn, expunge: true, run: (*session).cmdSetACL},
		"DELETEACL":  {states: loggedIn, expunge: true, run: (*session).cmdDeleteACL},
		"GETACL":     {states: loggedIn, expunge: true, run: (*session).cmdGetACL},
		"LISTRIGHTS": {states: loggedIn, expunge: true, run: (*session).cmdListRights},
		"MYRIGHTS":   {states: loggedIn, expunge: true, run: (*session).cmdMyRights},

		"GETQUOTA":     {states: loggedIn, expunge: true, run: (*session).cmdGetQuota},
		"GETQUOTAROOT": {states: loggedIn, expunge: true, run: (*session).cmdGetQuotaRoot},
		"SETQUOTA":     {states: loggedIn, expunge: true, run: (*session).cmdSetQuota},
		"GETMETADATA":  {states: loggedIn, expunge: true, run: (*session).cmdGetMetadata},
		"SETMETADATA":  {states: loggedIn, expunge: true, run: (*session).cmdSetMetadata},

		"APPEND": {states: loggedIn, expunge: true, run: (*session).cmdAppend},

		"FETCH":       {numbers: true, states: inSelected, run: (*session).cmdFetch},
		"UID FETCH":   {states: inSelected, expunge: true, run: (*session).cmdFetch},
		"STORE":       {numbers: true, states: inSelected, writes: true, run: (*session).cmdStore},
		"UID STORE":   {states: inSelected, expunge: true, writes: true, run: (*session).cmdStore},
		"SEARCH":      {numbers: true, states: inSelected, run: (*session).cmdSearch},
		"UID SEARCH":  {states: inSelected, expunge: true, run: (*session).cmdSearch},
		"SORT":        {numbers: true, states: inSelected, run: (*session).cmdSort},
		"UID SORT":    {states: inSelected, expunge: true, run: (*session).cmdSort},
		"THREAD":      {numbers: true, states: inSelected, run: (*session).cmdThread},
		"UID THREAD":  {states: inSelected, expunge: true, run: (*session).cmdThread},
		"COPY":        {numbers: true, states: inSelected, expunge: true, run: (*session).cmdCopy},
		"UID COPY":    {states: inSelected, expunge: true, run: (*session).cmdCopy},
		"MOVE":        {numbers: true, states: inSelected, expunge: true, writes: true, run: (*session).cmdMove},
		"UID MOVE":    {states: inSelected, expunge: true, writes: true, run: (*session).cmdMove},
		"REPLACE":     {numbers: true, states: inSelected, expunge: true, writes: true, run: (*session).cmdReplace},
		"UID REPLACE": {states: inSelected, expunge: true, writes: true, run: (*session).cmdReplace},
		"EXPUNGE":     {states: inSelected, expunge: true, writes: true, run: (*session).cmdExpunge},
		"UID EXPUNGE": {states: inSelected, expunge: true, writes: true, run: (*session).cmdExpunge},

		"ESEARCH":      {states: loggedIn, expunge: true, run: (*session).cmdESearch},
		"CANCELUPDATE": {states: inSelected, expunge: true, run: (*session).cmdCancelUpdate},
		"UIDBATCHES":   {states: inSelected, expunge: true, run: (*session).cmdUIDBatches},
	}
}
