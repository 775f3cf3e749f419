<#
.SYNOPSIS
Looks whether files could be delivered to this server. It leaves nothing behind.

.DESCRIPTION
Reads    the blob that Link reads, if there is a Link.
Writes   one empty file in Folder, or in the nearest folder above it that exists, and removes it.
Returns  computer, user, powershell, freeBytes, folderError and egressError: '' where all is well.

Windows PowerShell 5.1. The link is a secret: it stands in no message.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][string]$Folder,
    [string]$Link = '',
    [string]$Proxy = ''
)
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
[Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor 3072

if (-not (Get-Command Get-FreeBytes -ErrorAction SilentlyContinue)) {
    function Get-FreeBytes([string]$path) { return (New-Object IO.DriveInfo ([IO.Path]::GetPathRoot($path))).AvailableFreeSpace }
}

function Get-Problem([scriptblock]$work) {
    try { $null = & $work; return '' } catch { return [string]$_.Exception.Message }
}

function Test-Folder {
    $place = $Folder
    while ($place -and -not [IO.Directory]::Exists($place)) { $place = [IO.Path]::GetDirectoryName($place) }
    if (-not $place) { throw "there is no drive for $Folder" }
    $file = [IO.Path]::Combine($place, 'nightshift-' + [Guid]::NewGuid().ToString('N') + '.tmp')
    [IO.File]::WriteAllText($file, '')
    [IO.File]::Delete($file)
}

function Test-Egress {
    $request = [Net.HttpWebRequest]::Create($Link)
    $request.Timeout = 15000
    $request.Proxy = $null
    if ($Proxy -ne '') { $request.Proxy = New-Object Net.WebProxy $Proxy }
    $request.Headers['x-ms-version'] = '2021-12-02'
    $request.GetResponse().Close()
}

$found = @{
    computer = [Environment]::MachineName; user = [Environment]::UserDomainName + '\' + [Environment]::UserName
    powershell = $PSVersionTable.PSVersion.ToString(); freeBytes = [long]0; folderError = ''; egressError = ''
}
$found.folderError = Get-Problem { Test-Folder }
if ($found.folderError -eq '') { $found.freeBytes = [long](Get-FreeBytes $Folder) }
if ($Link -ne '') { $found.egressError = Get-Problem { Test-Egress } }
$found
