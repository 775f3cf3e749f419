<#
.SYNOPSIS
Removes backup folders whose copy in blob storage is verified.

.DESCRIPTION
Reads    manifest.json in each folder named.
Writes   removes a folder when it lies directly below Root, is no link, and its manifest has the run that was named with it.
         Every other folder stays.
Returns  folders: for each one asked for run, outcome (removed, absent, kept) and the reason why it was kept.

Windows PowerShell 5.1.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][string]$Root,
    [Parameter(Mandatory = $true)][object[]]$Backups
)
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

function Remove-Backup([string]$run, [string]$folder) {
    $full = [IO.Path]::GetFullPath($folder)
    $parent = [IO.Path]::GetDirectoryName($full)
    if (-not $parent -or $parent.TrimEnd('\', '/') -ne [IO.Path]::GetFullPath($Root).TrimEnd('\', '/')) {
        return @{ outcome = 'kept'; reason = "it does not lie directly in $Root" }
    }
    if (-not (Test-Path -LiteralPath $full)) { return @{ outcome = 'absent'; reason = '' } }
    if ((Get-Item -LiteralPath $full -Force).Attributes -band [IO.FileAttributes]::ReparsePoint) {
        return @{ outcome = 'kept'; reason = 'it is a link' }
    }
    $file = Join-Path $full 'manifest.json'
    if (-not (Test-Path -LiteralPath $file)) { return @{ outcome = 'kept'; reason = 'it has no manifest' } }
    $manifest = ConvertFrom-Json -InputObject ([IO.File]::ReadAllText($file))
    if ([string]$manifest.runId -ne $run) { return @{ outcome = 'kept'; reason = 'its manifest is that of another run' } }
    # The manifest goes last: a removal that is cut off can then be finished by the next.
    Get-ChildItem -LiteralPath $full -Force | Where-Object { $_.Name -ne 'manifest.json' } | Remove-Item -Recurse -Force
    Remove-Item -LiteralPath $full -Recurse -Force
    return @{ outcome = 'removed'; reason = '' }
}

$done = @()
foreach ($backup in $Backups) {
    try { $entry = Remove-Backup ([string]$backup.run) ([string]$backup.folder) }
    catch { $entry = @{ outcome = 'kept'; reason = [string]$_.Exception.Message } }
    $entry['run'] = [string]$backup.run
    $done += $entry
}
@{ folders = $done }
