// Package settings turns the process's environment into one documented struct per app.
//
// A setting is a struct field with tags:
//
//	Server string `env:"FTPServer,required" doc:"The FTP server." want:"a host name, or host:port" example:"ftp.example.com"`
//
// Load reports everything that is wrong in one error (Problems), each problem with the setting's name, what it got, what it
// wants and an example, so that an admin repairs all of it in one go. A blank value counts as not set. Names are matched as
// Azure and Windows do, without regard to case; a name that looks like a slip of the pen is a problem, because a misspelt
// setting would otherwise be ignored without a word. Variables that have nothing to do with the app are left alone.
//
// Secret is a value that no format verb, encoder or logger prints. RedactText cleans text that came from elsewhere.
package settings
