package main

import (
	"encoding"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

const (
	envPrefix       = "POSTRIDER_"
	envConfig       = envPrefix + "CONFIG"        // the configuration file
	envAccounts     = envPrefix + "ACCOUNTS"      // address:password, separated by commas
	envAccountsFile = envPrefix + "ACCOUNTS_FILE" // a file with one address:password a line
	systemConfig    = "/etc/postrider/config.toml"
	seeExample      = "; config.toml.example lists all that there are"
)

// Load reads the configuration: defaults, then the file unless path is empty,
// then the environment. Every error is one line that names the place and what
// to write there.
func Load(path string, environ []string) (*Config, error) {
	c := DefaultConfig()
	o := origins{}
	if path != "" {
		if err := loadFile(c, path, o); err != nil {
			return nil, err
		}
	}
	if err := loadEnv(c, environ, o); err != nil {
		return nil, err
	}
	if p := c.check(); p != nil {
		return nil, fmt.Errorf("%s: %s", o.of(p), p.what)
	}
	return c, nil
}

// configPath finds the configuration file: the flag, the environment, the
// system's place. Empty means defaults and environment alone.
func configPath(flag string) string {
	if flag != "" {
		return flag
	}
	if p := os.Getenv(envConfig); p != "" {
		return p
	}
	if _, err := os.Stat(systemConfig); err == nil {
		return systemConfig
	}
	return ""
}

// origins remembers where each key was set: "FILE:LINE: key" or the
// variable's name.
type origins map[string]string

// of returns the place that a problem is at.
func (o origins) of(p *problem) string {
	for _, key := range []string{p.key, p.other} {
		if s := o[key]; s != "" {
			return s
		}
	}
	return p.key
}

// keysOf lists every key of a configuration table with its field. The key of
// a list of tables stands with the list.
func keysOf(v reflect.Value, prefix string) (names []string, fields map[string]reflect.Value) {
	fields = map[string]reflect.Value{}
	t := v.Type()
	for i := range t.NumField() {
		tag := t.Field(i).Tag.Get("toml")
		if tag == "" {
			continue
		}
		f := v.Field(i)
		if f.Kind() == reflect.Struct {
			sub, subFields := keysOf(f, prefix+tag+".")
			names = append(names, sub...)
			for k, s := range subFields {
				fields[k] = s
			}
			continue
		}
		names = append(names, prefix+tag)
		fields[prefix+tag] = f
	}
	return names, fields
}

func loadFile(c *Config, path string, o origins) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("cannot read the configuration: %w", err)
	}
	return loadTOML(c, path, data, o)
}

// loadTOML takes in what a file says; path is for its errors.
func loadTOML(c *Config, path string, data []byte, o origins) error {
	var root map[string]any
	if _, err := toml.Decode(string(data), &root); err != nil {
		var p toml.ParseError
		if errors.As(err, &p) {
			return fmt.Errorf("%s:%d: %s", path, p.Position.Line, strings.ReplaceAll(p.Message, "\n", " "))
		}
		return fmt.Errorf("%s: %w", path, err)
	}
	f := &fileLoader{path: path, lines: keyLines(string(data)), origins: o}
	if err := list(f, root, "account", &c.Accounts); err != nil {
		return err
	}
	for i := range c.Accounts {
		where := fmt.Sprintf("account[%d].", i)
		if k := where + "address"; f.origins[k] == "" {
			f.origins[k] = f.at(k) + ": address"
		}
	}
	if err := list(f, root, "route", &c.Routes); err != nil {
		return err
	}
	names, fields := keysOf(reflect.ValueOf(c).Elem(), "")
	return f.table(root, "", "", names, fields)
}

// fileLoader puts what a file says into fields.
type fileLoader struct {
	path    string
	lines   map[string]int
	origins origins
}

// at names the place of a key for an error message.
func (f *fileLoader) at(key string) string {
	for k := key; ; {
		if n := f.lines[k]; n > 0 {
			return fmt.Sprintf("%s:%d", f.path, n)
		}
		i := strings.LastIndexByte(k, '.')
		if i < 0 {
			return f.path
		}
		k = k[:i]
	}
}

// table sets the fields that t names. Names of keys are relative to where,
// which is empty or the place of a list's element such as "account[1].".
func (f *fileLoader) table(t map[string]any, where, prefix string, names []string, fields map[string]reflect.Value) error {
	keys := make([]string, 0, len(t))
	for k := range t {
		keys = append(keys, k)
	}
	// In the order of the file, so that the first error is the first one.
	slices.SortFunc(keys, func(a, b string) int {
		return f.lines[where+prefix+a] - f.lines[where+prefix+b]
	})
	for _, k := range keys {
		key, value := prefix+k, t[k]
		field, known := fields[key]
		sub, isTable := value.(map[string]any)
		isSection := slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, key+".") })
		switch {
		case isSection && !isTable:
			return fmt.Errorf("%s: %s is a section; write [%s] and its keys below", f.at(where+key), key, key)
		case isSection:
			if err := f.table(sub, where, key+".", names, fields); err != nil {
				return err
			}
		case !known && isTable && prefix == "":
			return fmt.Errorf("%s: there is no section [%s]%s", f.at(where+key), key, orMaybe(key, sections(names), "[%s]", seeExample))
		case !known:
			return fmt.Errorf("%s: there is no key %q%s", f.at(where+key), key, orMaybe(key, names, "%q", seeExample))
		default:
			if err := assign(field, value); err != nil {
				return fmt.Errorf("%s: %s: %w", f.at(where+key), key, err)
			}
			f.origins[where+key] = f.at(where+key) + ": " + key
		}
	}
	return nil
}

// sections lists the sections that keys are in.
func sections(names []string) []string {
	out := []string{"[account]", "[route]"} // lists: their heads stand in two brackets
	for _, n := range names {
		if section, _, ok := strings.Cut(n, "."); ok && !slices.Contains(out, section) {
			out = append(out, section)
		}
	}
	return out
}

// list reads a list of tables and takes it out of root.
func list[T any](f *fileLoader, root map[string]any, name string, into *[]T) error {
	v, ok := root[name]
	if !ok {
		return nil
	}
	delete(root, name)
	tables, ok := v.([]map[string]any)
	if !ok {
		return fmt.Errorf("%s: %s is a list of tables; write [[%s]] and its keys below", f.at(name), name, name)
	}
	out := make([]T, len(tables))
	for i, t := range tables {
		names, fields := keysOf(reflect.ValueOf(&out[i]).Elem(), "")
		if err := f.table(t, fmt.Sprintf("%s[%d].", name, i), "", names, fields); err != nil {
			return err
		}
	}
	*into = out
	return nil
}

// assign puts a TOML value, or the environment's text, into a field.
func assign(field reflect.Value, value any) error {
	if u, ok := field.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return assignText(u, value)
	}
	switch field.Kind() {
	case reflect.String:
		s, ok := value.(string)
		if !ok {
			return fmt.Errorf(`%v is no text; write it in quotes`, value)
		}
		field.SetString(s)
	case reflect.Bool:
		b, ok := value.(bool)
		if !ok {
			return fmt.Errorf("%v is neither true nor false", value)
		}
		field.SetBool(b)
	case reflect.Int:
		n, ok := value.(int64)
		if !ok {
			return fmt.Errorf("%v is no whole number; write it without quotes", value)
		}
		field.SetInt(n)
	case reflect.Slice:
		list, ok := value.([]any)
		if !ok {
			return fmt.Errorf(`%v is no list; write ["…", "…"]`, value)
		}
		out := reflect.MakeSlice(field.Type(), len(list), len(list))
		for i, e := range list {
			if err := assign(out.Index(i), e); err != nil {
				return err
			}
		}
		field.Set(out)
	default:
		panic("no rule for fields of type " + field.Type().String())
	}
	return nil
}

func assignText(u encoding.TextUnmarshaler, value any) error {
	switch v := value.(type) {
	case string:
		err := u.UnmarshalText([]byte(v))
		if _, isPrefix := u.(interface{ Bits() int }); err != nil && isPrefix {
			return fmt.Errorf(`%q is no network; write "192.0.2.0/24" or "2001:db8::/32"`, v)
		}
		return err
	case int64:
		if _, ok := u.(*Size); ok {
			return u.UnmarshalText([]byte(strconv.FormatInt(v, 10)))
		}
	}
	return fmt.Errorf("%v is no text; write it in quotes", value)
}

// foreignEnv is what container platforms set for a service that happens to be
// called postrider: POSTRIDER_PORT_25_TCP, POSTRIDER_SERVICE_HOST.
var foreignEnv = regexp.MustCompile(`^` + envPrefix + `([A-Z0-9_]*_)?(SERVICE_(HOST|PORT)|PORT)(_[A-Z0-9_]*)?$`)

func loadEnv(c *Config, environ []string, o origins) error {
	names, fields := keysOf(reflect.ValueOf(c).Elem(), "")
	names = slices.DeleteFunc(names, func(n string) bool { return n == "account" || n == "route" })
	byVar := map[string]string{}
	vars := []string{"ACCOUNTS", "ACCOUNTS_FILE", "CONFIG"} // without the prefix
	for _, n := range names {
		v := strings.ToUpper(strings.ReplaceAll(n, ".", "_"))
		byVar[envPrefix+v] = n
		vars = append(vars, v)
	}
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, envPrefix) || name == envConfig {
			continue
		}
		key, known := byVar[name]
		var err error
		switch {
		case name == envAccounts:
			err = envAccountList(c, value, name, o)
		case name == envAccountsFile:
			var data []byte
			if data, err = os.ReadFile(value); err == nil {
				err = envAccountList(c, strings.ReplaceAll(string(data), "\n", ","), name, o)
			}
		case known:
			err = assignEnv(fields[key], value)
			o[key] = name
		case foreignEnv.MatchString(name):
		default:
			err = fmt.Errorf("there is no such setting%s", orMaybe(strings.TrimPrefix(name, envPrefix), vars, envPrefix+"%s", seeExample))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// assignEnv puts the text of a variable into a field; lists are separated by
// commas, and an empty text is an empty list.
func assignEnv(field reflect.Value, text string) error {
	if _, ok := field.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return assign(field, text)
	}
	switch field.Kind() {
	case reflect.Int:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("%q is no whole number", text)
		}
		return assign(field, n)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		return assign(field, b)
	case reflect.Slice:
		list := []any{}
		for _, s := range strings.Split(text, ",") {
			if s = strings.TrimSpace(s); s != "" {
				list = append(list, s)
			}
		}
		return assign(field, list)
	}
	return assign(field, text)
}

// envAccountList adds address:password pairs. The messages do not repeat
// what they complain of: it may be a password.
func envAccountList(c *Config, text, name string, o origins) error {
	for i, pair := range strings.Split(text, ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		address, password, ok := cutAccount(pair)
		if !ok {
			return fmt.Errorf("entry %d has no address and password; write bob@example.org:password", i+1)
		}
		o[fmt.Sprintf("account[%d].address", len(c.Accounts))] = name
		c.Accounts = append(c.Accounts, AccountConfig{Address: address, Password: password})
	}
	return nil
}

// cutAccount splits address:password at the first colon after the first @;
// a password may contain both, a local part not.
func cutAccount(pair string) (address, password string, ok bool) {
	at := strings.IndexByte(pair, '@')
	if at < 0 {
		return "", "", false
	}
	colon := strings.IndexByte(pair[at:], ':')
	if colon < 0 {
		return "", "", false
	}
	return pair[:at+colon], pair[at+colon+1:], true
}
