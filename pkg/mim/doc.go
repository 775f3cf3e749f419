// Package mim reads what a Microsoft Identity Manager (MIM, formerly FIM) server exports of its configuration, says whether a
// shipped backup is whole (Verify), and what changed between two of them (Compare).
//
// A backup is a folder, or a zip of one:
//
//	manifest.json   what the server wrote, with size and SHA-256 of every file (Manifest)
//	RESTORE.md      for the admin who needs it at three in the morning (Manifest.RestoreGuide)
//	MAExports/      one file for each management agent, with its import attribute flows
//	ServerExport/   MV.XML and MA-{GUID}.XML, for "Import Server Configuration"; nothing else may be in it
//	MAExtensions/   the rules extensions: DLLs and what they read
//	PortalExport/   policy.xml and schema.xml of the MIM Service
//
// Comparing is by meaning, not by text. What moves with every run (versions, times, cookies, watermarks, computed members) is
// ignored; identifiers are shown as the names that administrators know; order counts only where MIM gives it a meaning. An
// element that this package does not know is compared as it stands and reported under its own name: nothing is passed over.
//
// Files may be large: a management agent, or one object of the portal, is in memory at a time, never a whole backup.
//
// What the XML looks like is known from exports of real servers; Microsoft documents none of it.
package mim
