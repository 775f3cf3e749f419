package settings

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/caarlos0/env/v11"
)

// Setting describes one setting for people: documents, the example file, the check function.
type Setting struct {
	Name     string
	Doc      string
	Want     string // what a value must be
	Default  string
	Example  string
	Local    string // its value in local.settings.example.json
	Required bool
	Secret   bool
	Type     string // text, number, yes or no, size, duration, list, or the Go type's name
}

// Describe lists the settings of the given structs, in the order of their fields; each name once, and as required where one of the
// structs requires it.
func Describe(structs ...any) []Setting {
	var all []Setting
	seen := map[string]int{}
	for _, s := range structs {
		for _, f := range fieldsOf(s) {
			if i, ok := seen[f.Name]; !ok {
				seen[f.Name] = len(all)
				all = append(all, f.Setting)
			} else if f.Required {
				all[i] = f.Setting
			}
		}
	}
	return all
}

// Secrets lists every secret that is set in a settings struct, or in the struct a pointer points to.
func Secrets(of any) []Secret {
	var set []Secret
	for _, f := range fieldsOf(of) {
		if s, ok := f.target.Interface().(Secret); ok && !s.IsZero() {
			set = append(set, s)
		}
	}
	return set
}

// field is a setting together with the struct field that holds it.
type field struct {
	Setting
	field  reflect.StructField
	target reflect.Value
	with   string // the setting with which it is required, of a nested struct that is optional
}

// fieldsOf lists the settings of a struct and of the structs in it.
func fieldsOf(of any) []field {
	v := reflect.Indirect(reflect.ValueOf(of))
	if v.Kind() != reflect.Struct {
		panic(fmt.Sprintf("settings: %T is neither a struct nor a pointer to one", of))
	}
	return collect(v, nil)
}

func collect(v reflect.Value, into []field) []field {
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		switch {
		case !sf.IsExported():
		case nested(sf):
			begin := len(into)
			into = collect(v.Field(i), into)
			if switchedBy := sf.Tag.Get("optional"); switchedBy != "" {
				for j := range into[begin:] {
					into[begin+j].makeOptional(switchedBy)
				}
			}
		case sf.Tag.Get("env") != "":
			into = append(into, describe(sf, v.Field(i)))
		}
	}
	return into
}

// makeOptional has the field required only where the other setting is given.
func (f *field) makeOptional(switchedBy string) {
	if !f.Required {
		return
	}
	f.Required, f.with = false, switchedBy
	f.Local = local(f.field, f.Setting)
}

// nested tells whether a field is a struct of settings rather than a setting of its own.
func nested(sf reflect.StructField) bool {
	return sf.IsExported() && sf.Tag.Get("env") == "" && sf.Type.Kind() == reflect.Struct
}

func describe(sf reflect.StructField, v reflect.Value) field {
	name, option, _ := strings.Cut(sf.Tag.Get("env"), ",")
	s := Setting{
		Name: name, Doc: sf.Tag.Get("doc"), Want: sf.Tag.Get("want"), Default: sf.Tag.Get("envDefault"),
		Example: sf.Tag.Get("example"), Required: option == "required",
		Secret: sf.Type == reflect.TypeFor[Secret](), Type: typeName(sf.Type),
	}
	if s.Want == "" {
		s.Want = wanted(sf)
	}
	s.Local = local(sf, s)
	return field{Setting: s, field: sf, target: v}
}

// local is the value that the example file gives to a setting: never a secret, unless its tag says that it is none.
func local(sf reflect.StructField, s Setting) string {
	if text, ok := sf.Tag.Lookup("local"); ok {
		return text
	}
	if s.Secret {
		return ""
	}
	if s.Default == "" && s.Required {
		return s.Example
	}
	return s.Default
}

func typeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[Bytes]():
		return "size"
	case reflect.TypeFor[Duration]():
		return "duration"
	case reflect.TypeFor[List]():
		return "list"
	case reflect.TypeFor[Secret]():
		return "secret"
	}
	switch {
	case !isBuiltIn(t):
		return t.String()
	case t.Kind() == reflect.Bool:
		return "yes or no"
	case t.Kind() == reflect.String:
		return "text"
	default:
		return "number"
	}
}

func wanted(sf reflect.StructField) string {
	switch typeName(sf.Type) {
	case "size":
		return "a size in bytes, KB, MB, GB, KiB, MiB or GiB"
	case "duration":
		return "a duration such as 90s, 1h30m, 2d or hh:mm:ss"
	case "list":
		return "a list separated by ; or ,"
	case "yes or no":
		return "true or false"
	case "number":
		return "a whole number"
	}
	return "a value"
}

func isBuiltIn(t reflect.Type) bool {
	return !reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func asParseError(err error, target *env.ParseError) bool { return errors.As(err, target) }
