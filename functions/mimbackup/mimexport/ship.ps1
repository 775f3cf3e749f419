<#
.SYNOPSIS
Zips one backup folder and pushes it to blob storage.

.DESCRIPTION
Reads    the folder, whose manifest.json must be that of the run.
Writes   RESTORE.md in the folder; <Folder>.zip beside the folder, removed at the end; one block blob, through a link that can create it and no more.
Returns  bytes, sha256 and blocks of the zip; existed: the blob was there already, which an earlier try explains.
Throws   not-this-run, disk-full, sas-refused (expired or without the right), storage-refused, storage-unreachable.

Windows PowerShell 5.1. The link is a secret: it stands in no message.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][string]$RunId,
    [Parameter(Mandatory = $true)][string]$Folder,
    [Parameter(Mandatory = $true)][string]$Sas,
    [Parameter(Mandatory = $true)][string]$RestoreText,
    [int]$BlockBytes = 4194304,
    [int]$Tries = 5,
    [int]$TimeoutSeconds = 120,
    [string]$Proxy = ''
)
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
Add-Type -AssemblyName System.IO.Compression
Add-Type -AssemblyName System.IO.Compression.FileSystem
[Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor 3072
[Net.ServicePointManager]::Expect100Continue = $false

if (-not (Get-Command Get-FreeBytes -ErrorAction SilentlyContinue)) {
    function Get-FreeBytes([string]$path) { return (New-Object IO.DriveInfo ([IO.Path]::GetPathRoot($path))).AvailableFreeSpace }
}

# ZipFile::CreateFromDirectory writes backslashes before .NET 4.6.1, which only Windows reads as folders.
function New-Zip([string]$folder, [string]$zip) {
    $stream = [IO.File]::Open($zip, [IO.FileMode]::Create)
    try {
        $archive = New-Object IO.Compression.ZipArchive $stream, ([IO.Compression.ZipArchiveMode]::Create), $true
        try {
            foreach ($file in Get-ChildItem -LiteralPath $folder -Recurse -File | Sort-Object FullName) {
                $name = $file.FullName.Substring($folder.Length).TrimStart('\', '/').Replace('\', '/')
                $null = [IO.Compression.ZipFileExtensions]::CreateEntryFromFile($archive, $file.FullName, $name)
            }
        } finally { $archive.Dispose() }
    } finally { $stream.Close() }
}

function Get-Sha256([string]$path) {
    $stream = [IO.File]::OpenRead($path)
    $sha = [Security.Cryptography.SHA256]::Create()
    try { return [BitConverter]::ToString($sha.ComputeHash($stream)).Replace('-', '').ToLowerInvariant() }
    finally { $stream.Close(); $sha.Dispose() }
}

# One PUT. Returns the status, or 0 and the reason when there was no answer.
function Send-Put([string]$query, [byte[]]$body, [int]$count, [hashtable]$headers) {
    $request = [Net.HttpWebRequest]::Create($Sas + $query)
    $request.Method = 'PUT'
    $request.Timeout = $TimeoutSeconds * 1000
    $request.ReadWriteTimeout = $TimeoutSeconds * 1000
    $request.AllowWriteStreamBuffering = $false
    $request.ContentLength = $count
    $request.Proxy = $null
    if ($Proxy -ne '') { $request.Proxy = New-Object Net.WebProxy $Proxy }
    $request.Headers['x-ms-version'] = '2021-12-02'
    foreach ($name in $headers.Keys) { $request.Headers[$name] = $headers[$name] }
    try {
        $stream = $request.GetRequestStream()
        $stream.Write($body, 0, $count)
        $stream.Close()
        $response = $request.GetResponse()
    } catch {
        $problem = $_.Exception
        while ($problem -and -not ($problem -is [Net.WebException])) { $problem = $problem.InnerException }
        if (-not $problem) { return @{ status = 0; reason = [string]$_.Exception.Message } }
        if (-not $problem.Response) { return @{ status = 0; reason = [string]$problem.Message } }
        $response = $problem.Response
    }
    $answer = @{ status = [int]$response.StatusCode; reason = [string]$response.Headers['x-ms-error-code'] }
    $response.Close()
    return $answer
}

# Repeats what may pass; throws what will not. Returns the status, which is one of $accepted.
function Send-Surely([string]$query, [byte[]]$body, [int]$count, [hashtable]$headers, [int[]]$accepted) {
    for ($try = 1; ; $try++) {
        $answer = Send-Put $query $body $count $headers
        if ($accepted -contains $answer.status) { return $answer.status }
        if ($answer.status -eq 403 -or $answer.status -eq 401) { Stop-Script 'sas-refused' "storage refused the link: $($answer.status) $($answer.reason)" }
        $passing = $answer.status -eq 0 -or $answer.status -eq 408 -or $answer.status -eq 429 -or $answer.status -ge 500
        if (-not $passing) { Stop-Script 'storage-refused' "storage answered $($answer.status) $($answer.reason)" }
        if ($try -ge $Tries) { Stop-Script 'storage-unreachable' "no success after $try tries: $($answer.status) $($answer.reason)" }
        Start-Sleep -Seconds ([Math]::Min(30, [Math]::Pow(2, $try)))
    }
}

function Send-Zip([string]$zip, [string]$sha256) {
    $writer = [Guid]::NewGuid().ToString('N')
    $whole = [Security.Cryptography.MD5]::Create()
    $one = [Security.Cryptography.MD5]::Create()
    $buffer = New-Object byte[] $BlockBytes
    $list = New-Object Text.StringBuilder '<?xml version="1.0" encoding="utf-8"?><BlockList>'
    $stream = [IO.File]::OpenRead($zip)
    try {
        $total = $stream.Length
        $blocks = 0
        while ($true) {
            $count = 0
            while ($count -lt $BlockBytes) {
                $n = $stream.Read($buffer, $count, $BlockBytes - $count)
                if ($n -eq 0) { break }
                $count += $n
            }
            if ($count -eq 0) { break }
            $null = $whole.TransformBlock($buffer, 0, $count, $null, 0)
            $id = [Convert]::ToBase64String([Text.Encoding]::ASCII.GetBytes(('{0}-{1:d5}' -f $writer, $blocks)))
            $headers = @{ 'Content-MD5' = [Convert]::ToBase64String($one.ComputeHash($buffer, 0, $count)) }
            $null = Send-Surely ('&comp=block&blockid=' + [Uri]::EscapeDataString($id)) $buffer $count $headers @(201)
            $null = $list.Append("<Latest>$id</Latest>")
            $blocks++
            Send-Event @{ type = 'progress'; step = 'ship'; message = ''; done = [long]$stream.Position; total = [long]$total }
        }
        $null = $whole.TransformFinalBlock($buffer, 0, 0)
    } finally { $stream.Close() }
    $body = [Text.Encoding]::UTF8.GetBytes($list.Append('</BlockList>').ToString())
    $headers = @{
        'If-None-Match' = '*'; 'x-ms-blob-content-type' = 'application/zip'; 'x-ms-meta-sha256' = $sha256
        'x-ms-blob-content-md5' = [Convert]::ToBase64String($whole.Hash)
    }
    $status = Send-Surely '&comp=blocklist' $body $body.Length $headers @(201, 409, 412)
    return @{ bytes = [long]$total; sha256 = $sha256; blocks = $blocks; existed = ($status -ne 201) }
}

$manifest = ConvertFrom-Json -InputObject ([IO.File]::ReadAllText((Join-Path $Folder 'manifest.json')))
if ([string]$manifest.runId -ne $RunId) { Stop-Script 'not-this-run' "the manifest in $Folder is that of run $($manifest.runId)" }
[IO.File]::WriteAllText((Join-Path $Folder 'RESTORE.md'), $RestoreText, (New-Object Text.UTF8Encoding $false))
$size = (Get-ChildItem -LiteralPath $Folder -Recurse -File | Measure-Object -Property Length -Sum).Sum
$free = Get-FreeBytes $Folder
if ($free -lt $size) { Stop-Script 'disk-full' "the drive of $Folder has $free bytes free, zipping may need $size" }
$zip = "$Folder.zip"
try {
    New-Zip $Folder $zip
    Send-Zip $zip (Get-Sha256 $zip)
} finally {
    if (Test-Path -LiteralPath $zip) { Remove-Item -LiteralPath $zip -Force }
}
