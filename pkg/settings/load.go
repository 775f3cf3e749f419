package settings

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/caarlos0/env/v11"
)

// Checker is implemented by a settings struct, or by one nested in it, whose fields depend on one another. Problems is asked
// after all fields were read, whether or not each could be.
type Checker interface {
	Problems() Problems
}

// Load fills the struct that into points to from environ, a list of "name=value" as os.Environ gives it. The error, if any,
// is a Problems with everything that is wrong; the fields without a problem are filled all the same.
//
// Tags of a field: env:"Name" or env:"Name,required", envDefault, doc, want (what a value must be), example, min and max
// (numbers, Bytes and Duration), local (the value in local.settings.example.json). Nested structs are settings too; with the tag
// optional:"Name" they are asked for nothing unless the setting of that name, which is one of theirs, is given.
func Load(into any, environ []string) error {
	fields := fieldsOf(into)
	given := index(environ)
	var problems Problems
	for _, f := range fields {
		problems = append(problems, f.load(given)...)
	}
	problems = append(problems, crossChecks(reflect.ValueOf(into), given)...)
	problems = append(problems, misspelt(fields, environ)...)
	if len(problems) == 0 {
		return nil
	}
	secrets := Secrets(into)
	for i := range problems {
		p := &problems[i]
		for _, text := range []*string{&p.Got, &p.Want, &p.Hint} {
			*text = RedactText(*text, secrets)
		}
	}
	return problems
}

// variable is one name of the environment as it was written there.
type variable struct{ name, value string }

// index groups what environ sets by name without case, because a name that differs in case only is the same setting to
// Azure and to Windows. Blank values are left out.
func index(environ []string) map[string][]variable {
	given := make(map[string][]variable, len(environ))
	for _, entry := range environ {
		name, value, ok := strings.Cut(entry, "=")
		if ok && strings.TrimSpace(value) != "" {
			key := strings.ToLower(name)
			given[key] = append(given[key], variable{name, value})
		}
	}
	return given
}

// value picks what is given for the setting: the exact name first, another spelling of it otherwise; the last one if a name
// comes twice, as exec does.
func (f field) value(given map[string][]variable) (string, Problems) {
	spellings := given[strings.ToLower(f.Name)]
	if len(spellings) == 0 {
		return "", nil
	}
	chosen := spellings[0]
	for _, v := range spellings {
		if v.name == f.Name {
			chosen = v
		}
	}
	for _, v := range spellings {
		if v.name != chosen.name && v.value != chosen.value {
			return "", Problems{f.problem(v.value, fmt.Sprintf("also set as %s to something else; keep one of the two", v.name))}
		}
	}
	return chosen.value, nil
}

func (f field) load(given map[string][]variable) Problems {
	text, problems := f.value(given)
	if problems != nil {
		return problems
	}
	if text == "" && (f.Required || f.with != "" && len(given[strings.ToLower(f.with)]) > 0) {
		return Problems{f.problem("", "")}
	}
	if strings.HasPrefix(strings.TrimSpace(text), "@Microsoft.KeyVault(") {
		return Problems{f.problem(text, "the Key Vault reference was not resolved: "+
			"check that the app's identity may read the secret and that the reference names an existing one")}
	}
	if !f.Secret {
		text = strings.TrimSpace(text)
	}
	if text == "" {
		text = f.Default
	}
	if text == "" {
		return nil
	}
	parsed, err := f.parse(text)
	if err != nil {
		return Problems{f.problem(text, f.reason(err))}
	}
	if hint := f.outOfRange(parsed); hint != "" {
		return Problems{f.problem(text, hint)}
	}
	f.target.Set(parsed)
	return nil
}

// parse reads one value with the env library. It gets a struct with this field alone, so that its error belongs to exactly
// this setting.
func (f field) parse(text string) (reflect.Value, error) {
	holder := reflect.New(reflect.StructOf([]reflect.StructField{{
		Name: f.field.Name, Type: f.field.Type, Tag: reflect.StructTag(`env:"VALUE"`),
	}}))
	err := env.ParseWithOptions(holder.Interface(), env.Options{Environment: map[string]string{"VALUE": text}})
	return holder.Elem().Field(0), err
}

// reason is what the field's own parser said, when that says more than the setting's description does.
func (f field) reason(err error) string {
	var parse env.ParseError
	if f.Secret || !asParseError(err, &parse) || isBuiltIn(f.field.Type) {
		return ""
	}
	return parse.Err.Error()
}

// outOfRange compares a number with the field's min and max.
func (f field) outOfRange(v reflect.Value) string {
	if !v.CanInt() {
		return ""
	}
	if low, ok := f.bound("min"); ok && v.Int() < low {
		return "at least " + f.field.Tag.Get("min")
	}
	if high, ok := f.bound("max"); ok && v.Int() > high {
		return "at most " + f.field.Tag.Get("max")
	}
	return ""
}

func (f field) bound(tag string) (int64, bool) {
	text, ok := f.field.Tag.Lookup(tag)
	if !ok {
		return 0, false
	}
	v, err := f.parse(text)
	if err != nil {
		panic(fmt.Sprintf("settings: field %s: %s %q: %v", f.field.Name, tag, text, err))
	}
	return v.Int(), true
}

func (f field) problem(got, hint string) Problem {
	if f.Secret && got != "" {
		got = Redacted
	}
	return Problem{Setting: f.Name, Got: got, Want: f.Want, Example: f.Setting.Example, Hint: hint}
}

// crossChecks asks every struct of the settings that is a Checker, but for optional ones that are not in use.
func crossChecks(v reflect.Value, given map[string][]variable) Problems {
	var problems Problems
	if v.CanInterface() {
		if c, ok := v.Interface().(Checker); ok {
			problems = append(problems, c.Problems()...)
		}
	}
	v = reflect.Indirect(v)
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		switchedBy := sf.Tag.Get("optional")
		if nested(sf) && (switchedBy == "" || len(given[strings.ToLower(switchedBy)]) > 0) {
			problems = append(problems, crossChecks(v.Field(i).Addr(), given)...)
		}
	}
	return problems
}
