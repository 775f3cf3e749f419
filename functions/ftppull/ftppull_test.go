package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift-hq/nightshift/pkg/customhandler"
)

// environ is the least that the app runs with, but for what is set otherwise.
func environ(otherwise ...string) []string {
	least := []string{
		"AzureWebJobsStorage=UseDevelopmentStorage=true", "FTPServer=ftp.example.com", "FTPUsername=nightshift",
		"FTPPassword=canary-password", `FTPTargetDirectory=E:\Import\HR`,
	}
	for _, setting := range otherwise {
		name, _, _ := strings.Cut(setting, "=")
		least = slices.DeleteFunc(least, func(s string) bool { return strings.HasPrefix(s, name+"=") })
	}
	return append(least, otherwise...)
}

func TestEveryFunctionHasItsTriggerAndTheReverse(t *testing.T) {
	t.Parallel()
	app, err := build(environ())
	if err != nil || app.Problem != nil {
		t.Fatal(err, app.Problem)
	}
	if err := customhandler.CheckFunctions(os.DirFS("."), app.Functions); err != nil {
		t.Error(err)
	}
}

func TestSettingsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		setting string
		want    []string
	}{
		{"FTPServer=", []string{"FTPServer"}},
		{"FTPServer=ftp://ftp.example.com/hr", []string{"FTPServer", "without ftp://"}},
		{"FTPCAFile=/no/such.pem", []string{"FTPCAFile: got \"/no/such.pem\"", "no such file"}},
		{"FTPCertificatePin=zz", []string{"FTPCertificatePin: got \"zz\""}},
		{"FTPContainer=A_B", []string{"FTPContainer", "lower-case letters"}},
		{"FTPSecurity=none", []string{"FTPSecurity", "explicit, implicit or cleartext"}},
		{"FTPAfter=burn", []string{"FTPAfter", "keep, delete or archive"}},
		{"FTPAfter=archive", []string{"FTPArchiveDirectory"}},
		{"FTPTargetDirectory=/", []string{"FTPTargetDirectory"}},
		{"FTPSchedule=61 * * * * *", []string{"FTPSchedule"}},
		{"FTPSchedule=0 0 0 31 2 *", []string{"FTPSchedule"}},
		{"WEBSITE_TIME_ZONE=Mars", []string{"WEBSITE_TIME_ZONE", "Mars"}},
		{"FTPInclude=[", []string{"FTPInclude", "no glob"}},
		{"FTPExpect=hr.csv", []string{"FTPExpect", "by HH:MM"}},
		{"FTPRequireHeader=*.csv=(", []string{"FTPRequireHeader", "regular expression"}},
		{"FTPConnections=0", []string{"FTPConnections", "at least 1"}},
		{"FTPDisable=MLST", []string{"FTPDisable", "MLSD, EPSV, UTF8, TLS13"}},
		{"FTPSettle=1h", []string{"FTPSettle", "3m"}},
		{"FTPFolderFormat=dd-MM-yyyy-hh-mm", []string{"FTPFolderFormat", "hour of 24"}},
		{"MIMSyncServer=mim01", []string{"MIMSyncCredUser", "MIMSyncCredPassword"}},
		{`MIMDeliverVia=post`, []string{"MIMDeliverVia", "link or stdin"}},
		{`FTPPublish=a.csv=C:\x\y.csv`, []string{"MIMSyncServer", "FTPPublish"}},
		{`FTPPublish=a.csv`, []string{"FTPPublish", "GLOB=FILE"}},
		{"FTPPasword=x", []string{"FTPPasword", "FTPPassword"}},
	} {
		app, err := build(environ(row.setting))
		text := fmt.Sprintf("%v\n%v", err, app.Problem)
		if setting, _, _ := strings.Cut(row.setting, "="); strings.Count(text, "\n"+setting+":") > 1 {
			t.Errorf("%s: reported twice: %s", row.setting, text)
		}
		for _, want := range row.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %s\nwant %q in it", row.setting, text, want)
			}
		}
		if strings.Contains(text, "canary-password") {
			t.Errorf("%s: the password is in %s", row.setting, text)
		}
	}
}

func TestDeliveryNeedsAFolderOnADrive(t *testing.T) {
	t.Parallel()
	mim := []string{"MIMSyncServer=mim01", "MIMSyncCredUser=u", "MIMSyncCredPassword=p"}
	app, err := build(environ(mim...))
	if err != nil || app.Problem != nil {
		t.Error(err, app.Problem)
	}
	app, err = build(environ(append(mim, `FTPTargetDirectory=\\server\share`)...))
	if text := fmt.Sprint(err, app.Problem); !strings.Contains(text, "FTPTargetDirectory") || !strings.Contains(text, "network shares") {
		t.Error(text)
	}
	app, err = build(environ(`FTPTargetDirectory=/srv/in`)) // blob storage alone takes it
	if err != nil || app.Problem != nil {
		t.Error(err, app.Problem)
	}
}
