package mim_test

import (
	"slices"
	"strings"
	"testing"
)

func TestWhatChangedInTheMetaverse(t *testing.T) {
	t.Parallel()
	flow := func(kind string, sources ...string) string {
		var b strings.Builder
		b.WriteString(`<import-attribute-flow><import-flow-set mv-object-type="person"><import-flows mv-attribute="mail" type="` + kind + `">`)
		for _, s := range sources {
			id, attribute, _ := strings.Cut(s, ":")
			b.WriteString(`<import-flow src-ma="` + id + `" cd-object-type="user" id="` + strings.Replace(id, "1111", "2222", 1) +
				`"><direct-mapping><src-attribute>` + attribute + `</src-attribute></direct-mapping></import-flow>`)
		}
		return b.String() + `</import-flows></import-flow-set></import-attribute-flow>`
	}
	for name, c := range map[string]struct {
		before, after string
		want          []string
	}{
		"another source attribute": {flow("ranked", hrID+":mail"), flow("ranked", hrID+":email"),
			[]string{`warning: changed Metaverse / Import attribute flow / to person / mail / from HR, user: "direct from mail" -> "direct from email"`}},
		"order is precedence": {flow("ranked", hrID+":mail", adID+":mail"), flow("ranked", adID+":mail", hrID+":mail"),
			[]string{`warning: reordered Metaverse / Import attribute flow / to person / mail: "from HR, user: direct from mail, then from AD, user: direct from mail" -> "from AD, user: direct from mail, then from HR, user: direct from mail"`}},
		"order is nothing between equals": {flow("equal", hrID+":mail", adID+":mail"), flow("equal", adID+":mail", hrID+":mail"), nil},
		"provisioning switched off": {`<provisioning type="both"/>`, `<provisioning type="none"/>`,
			[]string{`danger: changed Metaverse / Provisioning: "both" -> "none"`}},
		"another deletion rule": {
			`<mv-deletion><mv-deletion-rule mv-object-type="person" id="{1}" type="declared-any"><src-ma>` + hrID + `</src-ma></mv-deletion-rule></mv-deletion>`,
			`<mv-deletion><mv-deletion-rule mv-object-type="person" id="{1}" type="declared-any"><src-ma>` + adID + `</src-ma></mv-deletion-rule></mv-deletion>`,
			[]string{`danger: added Metaverse / Object deletion rules / for person / Management agent AD: "" -> "AD"`,
				`danger: removed Metaverse / Object deletion rules / for person / Management agent HR: "HR" -> ""`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := func(mv string) files {
				return files{"ServerExport/MV.XML": metaverseXML(mv), "ServerExport/MA-" + hrID + ".XML": agentXML(hrID, "HR", ""),
					"ServerExport/MA-" + adID + ".XML": agentXML(adID, "AD", "")}
			}
			if got := lines(drift(t, server(c.before), server(c.after))); !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func TestWhatChangedInThePortal(t *testing.T) {
	t.Parallel()
	const (
		rule   = "33333333-0000-0000-0000-000000000001"
		admins = "33333333-0000-0000-0000-000000000002"
		staff  = "33333333-0000-0000-0000-000000000003"
	)
	sets := portalObject("Set", admins, "DisplayName", "Administrators") + portalObject("Set", staff, "DisplayName", "All Staff")
	for name, c := range map[string]struct {
		before, after string
		want          []string
	}{
		"identifiers are shown as names": {
			portalObject("ManagementPolicyRule", rule, "DisplayName", "Grant", "PrincipalSet", "urn:uuid:"+admins),
			portalObject("ManagementPolicyRule", rule, "DisplayName", "Grant", "PrincipalSet", "urn:uuid:"+staff),
			[]string{`warning: changed Portal policy / Management policy rule Grant / PrincipalSet: "Administrators" -> "All Staff"`}},
		"computed members are no change": {
			portalObject("Set", rule, "DisplayName", "S", "ComputedMember", "a|b", "ResourceTime", "1"),
			portalObject("Set", rule, "DisplayName", "S", "ComputedMember", "a|c", "ResourceTime", "2"), nil},
		"several values are a set": {
			portalObject("Set", rule, "DisplayName", "S", "ExplicitMember", "a|b"),
			portalObject("Set", rule, "DisplayName", "S", "ExplicitMember", "b|a"), nil},
		"XML in a value is compared as XML": {
			portalObject("WorkflowDefinition", rule, "DisplayName", "W", "XOML", `&lt;W&gt;&lt;Mail To="a"/&gt;&lt;/W&gt;`),
			portalObject("WorkflowDefinition", rule, "DisplayName", "W", "XOML", `&lt;W&gt;&lt;Mail To="b"/&gt;&lt;/W&gt;`),
			[]string{`warning: changed Portal policy / Workflow W / XOML / Mail / To: "a" -> "b"`}},
		"an object gone": {portalObject("Set", rule, "DisplayName", "S"), "", []string{`warning: removed Portal policy / Set S`}},
		"an object new":  {"", portalObject("BindingDescription", rule, "DisplayName", "Mail"), []string{`notice: added Portal schema / Binding Mail`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			portal := func(objects string) files { return files{"PortalExport/policy.xml": portalXML(sets + objects)} }
			if got := lines(drift(t, portal(c.before), portal(c.after))); !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}
