<#
.SYNOPSIS
Puts a delivered file in the place of the one that a management agent reads, in one step.

.DESCRIPTION
Reads    Source, a file on this server with the SHA-256 given in hexadecimal.
Writes   <Target>.part beside Target, which then takes Target's place. A Target that another program has open is tried again.
Returns  outcome: published, or there (Target has that content already).
Throws   sharing-violation, disk-full, no-folder (that of Target), wrong-content (of Source).

Windows PowerShell 5.1.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][string]$Source,
    [Parameter(Mandatory = $true)][string]$Target,
    [Parameter(Mandatory = $true)][string]$Sha256,
    [int]$Tries = 5,
    [int]$PauseMs = 2000
)
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

if (-not (Get-Command Get-FreeBytes -ErrorAction SilentlyContinue)) {
    function Get-FreeBytes([string]$path) { return (New-Object IO.DriveInfo ([IO.Path]::GetPathRoot($path))).AvailableFreeSpace }
}

# What Windows calls an error: 32 and 33 sharing, 1175 to 1177 what a replacement makes of it, 39 and 112 disk full. Empty for others.
function Get-TroubleId($problem) {
    while ($problem) {
        if ($problem -is [IO.IOException]) {
            switch ($problem.HResult -band 0xffff) {
                32 { return 'sharing-violation' }
                33 { return 'sharing-violation' }
                1175 { return 'sharing-violation' }
                1176 { return 'sharing-violation' }
                1177 { return 'sharing-violation' }
                39 { return 'disk-full' }
                112 { return 'disk-full' }
            }
        }
        $problem = $problem.InnerException
    }
    return ''
}

function Get-Sha256([string]$path) {
    $stream = [IO.File]::Open($path, [IO.FileMode]::Open, [IO.FileAccess]::Read, [IO.FileShare]::ReadWrite)
    $sha = [Security.Cryptography.SHA256]::Create()
    try { return [BitConverter]::ToString($sha.ComputeHash($stream)).Replace('-', '').ToLowerInvariant() }
    finally { $stream.Close(); $sha.Dispose() }
}

function Publish-File {
    $part = "$Target.part"
    for ($try = 1; ; $try++) {
        try {
            if ([IO.File]::Exists($Target) -and (Get-Sha256 $Target) -eq $Sha256) {
                if ([IO.File]::Exists($part)) { [IO.File]::Delete($part) }
                return 'there'
            }
            [IO.File]::Copy($Source, $part, $true)
            if ((Get-Sha256 $part) -ne $Sha256) {
                [IO.File]::Delete($part)
                Stop-Script 'wrong-content' "$Source is no longer what was delivered"
            }
            if ([IO.File]::Exists($Target)) { [IO.File]::Replace($part, $Target, [NullString]::Value) } else { [IO.File]::Move($part, $Target) }
            return 'published'
        } catch {
            $id = Get-TroubleId $_.Exception
            if ($id -eq '') { throw }
            if ($id -ne 'sharing-violation' -or $try -ge $Tries) { Stop-Script $id "publish ${Target}: $([string]$_.Exception.Message)" }
        }
        Start-Sleep -Milliseconds $PauseMs
    }
}

if (-not [IO.Directory]::Exists([IO.Path]::GetDirectoryName($Target))) {
    Stop-Script 'no-folder' "the folder of $Target does not exist: correct FTPPublish, or create it"
}
if ((Get-FreeBytes $Target) -lt (New-Object IO.FileInfo $Source).Length) { Stop-Script 'disk-full' "the drive of $Target has no room for $Source" }
@{ outcome = (Publish-File) }
