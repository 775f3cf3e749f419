<#
.SYNOPSIS
Fetches files from blob storage into folders of this server.

.DESCRIPTION
Reads    Files: for each its path here, a link that reads its blob, its size in bytes and its SHA-256 in hexadecimal.
Writes   each file as <path>.part, which gets its name once size and SHA-256 are right. A .part that an earlier run left is gone on
         with. After Seconds it stops where it is.
Returns  files: for each, in order, its outcome: placed; there (with the same content); different (a file with other content has that
         name, and stays); later (the time was up).
Throws   disk-full, sharing-violation, no-drive, sas-refused (expired, or storage's firewall), blob-missing, storage-refused,
         storage-unreachable, wrong-content.

Windows PowerShell 5.1. The links are secrets: they stand in no message.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][string]$Folder,
    [Parameter(Mandatory = $true)][object[]]$Files,
    [Parameter(Mandatory = $true)][int]$Seconds,
    [string]$Proxy = '',
    [int]$Tries = 3,
    [int]$PauseMs = 2000,
    [int]$TimeoutSeconds = 60
)
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
[Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor 3072
$clock = [Diagnostics.Stopwatch]::StartNew()

if (-not (Get-Command Get-FreeBytes -ErrorAction SilentlyContinue)) {
    function Get-FreeBytes([string]$path) { return (New-Object IO.DriveInfo ([IO.Path]::GetPathRoot($path))).AvailableFreeSpace }
}

# What Windows calls an error: 32 and 33 sharing, 39 and 112 disk full. Empty for others.
function Get-TroubleId($problem) {
    while ($problem) {
        if ($problem -is [IO.IOException]) {
            switch ($problem.HResult -band 0xffff) {
                32 { return 'sharing-violation' }
                33 { return 'sharing-violation' }
                39 { return 'disk-full' }
                112 { return 'disk-full' }
            }
        }
        $problem = $problem.InnerException
    }
    return ''
}

function Get-Sha256([string]$path) {
    $stream = [IO.File]::OpenRead($path)
    $sha = [Security.Cryptography.SHA256]::Create()
    try { return [BitConverter]::ToString($sha.ComputeHash($stream)).Replace('-', '').ToLowerInvariant() }
    finally { $stream.Close(); $sha.Dispose() }
}

function Test-Content([string]$path, $file) {
    return ((New-Object IO.FileInfo $path).Length -eq [long]$file.size) -and ((Get-Sha256 $path) -eq [string]$file.sha256)
}

function Get-PartLength([string]$path) {
    if ([IO.File]::Exists("$path.part")) { return (New-Object IO.FileInfo "$path.part").Length }
    return [long]0
}

# One GET of what is still missing. Returns the status, or 0 and the reason when there was no answer or it broke off.
function Read-Blob($file, [IO.FileStream]$stream) {
    $request = [Net.HttpWebRequest]::Create([string]$file.link)
    $request.Timeout = $TimeoutSeconds * 1000
    $request.ReadWriteTimeout = $TimeoutSeconds * 1000
    $request.Proxy = $null
    if ($Proxy -ne '') { $request.Proxy = New-Object Net.WebProxy $Proxy }
    $request.Headers['x-ms-version'] = '2021-12-02'
    if ($stream.Length -gt 0) { $request.AddRange([long]$stream.Length) }
    try {
        $response = $request.GetResponse()
    } catch {
        $problem = $_.Exception
        while ($problem -and -not ($problem -is [Net.WebException])) { $problem = $problem.InnerException }
        if (-not $problem) { return @{ status = 0; reason = [string]$_.Exception.Message } }
        if (-not $problem.Response) { return @{ status = 0; reason = [string]$problem.Message } }
        $answer = @{ status = [int]$problem.Response.StatusCode; reason = [string]$problem.Response.Headers['x-ms-error-code'] }
        $problem.Response.Close()
        return $answer
    }
    try {
        if ([int]$response.StatusCode -ne 206) { $stream.SetLength(0) }
        $stream.Position = $stream.Length
        $source = $response.GetResponseStream()
        $buffer = New-Object byte[] 1048576
        while ($stream.Length -lt [long]$file.size -and $clock.Elapsed.TotalSeconds -lt $Seconds) {
            try { $n = $source.Read($buffer, 0, $buffer.Length) } catch { return @{ status = 0; reason = [string]$_.Exception.Message } }
            if ($n -eq 0) { return @{ status = 0; reason = 'the answer ended early' } }
            $stream.Write($buffer, 0, $n)
        }
        $request.Abort()
        return @{ status = 200; reason = '' }
    } finally { $response.Close() }
}

# Fills the .part. True when it is whole, false when the time was up.
function Receive-Part($file) {
    for ($try = 1; ; $try++) {
        $stream = [IO.File]::Open("$($file.path).part", [IO.FileMode]::OpenOrCreate, [IO.FileAccess]::Write, [IO.FileShare]::None)
        try {
            if ($stream.Length -gt [long]$file.size) { $stream.SetLength(0) }
            if ($stream.Length -eq [long]$file.size) { return $true }
            $answer = Read-Blob $file $stream
            if ($answer.status -eq 200) { return ($stream.Length -ge [long]$file.size) }
        } finally { $stream.Close() }
        $said = "$($answer.status) $($answer.reason)"
        if ($answer.status -eq 403 -or $answer.status -eq 401) { Stop-Script 'sas-refused' "storage refused the link to $($file.path): $said" }
        if ($answer.status -eq 404) { Stop-Script 'blob-missing' "the blob for $($file.path) is gone: $said" }
        $passing = $answer.status -eq 0 -or $answer.status -eq 408 -or $answer.status -eq 429 -or $answer.status -ge 500
        if (-not $passing) { Stop-Script 'storage-refused' "storage answered for $($file.path): $said" }
        if ($try -ge $Tries) { Stop-Script 'storage-unreachable' "no success for $($file.path) after $try tries: $said" }
        Start-Sleep -Milliseconds ($PauseMs * $try)
    }
}

function Install-File($file) {
    $path = [string]$file.path
    if ([IO.File]::Exists($path)) {
        if (Test-Content $path $file) { return 'there' }
        return 'different'
    }
    $null = [IO.Directory]::CreateDirectory([IO.Path]::GetDirectoryName($path))
    $begun = (Get-PartLength $path) -gt 0
    while ($true) {
        if (-not (Receive-Part $file)) { return 'later' }
        if (Test-Content "$path.part" $file) { break }
        [IO.File]::Delete("$path.part")
        if (-not $begun) { Stop-Script 'wrong-content' "what storage sent for $path has not the size and SHA-256 of the manifest" }
        $begun = $false
    }
    [IO.File]::Move("$path.part", $path)
    return 'placed'
}

try {
    if (-not [IO.Directory]::Exists([IO.Path]::GetPathRoot($Folder))) { Stop-Script 'no-drive' "there is no drive for $Folder" }
    $need = [long]0
    foreach ($file in $Files) {
        if (-not [IO.File]::Exists([string]$file.path)) { $need += [Math]::Max([long]0, [long]$file.size - (Get-PartLength ([string]$file.path))) }
    }
    $free = Get-FreeBytes $Folder
    if ($free -lt $need) { Stop-Script 'disk-full' "the drive of $Folder has $free bytes free, the files need $need" }
    $outcomes = New-Object Collections.ArrayList
    foreach ($file in $Files) {
        $outcome = 'later'
        if ($outcomes.Count -eq 0 -or $clock.Elapsed.TotalSeconds -lt $Seconds) { $outcome = Install-File $file }
        $null = $outcomes.Add(@{ path = [string]$file.path; outcome = $outcome })
        Send-Event @{ type = 'progress'; step = 'deliver'; message = [string]$file.path; done = $outcomes.Count; total = $Files.Count }
    }
    @{ files = $outcomes.ToArray() }
} catch {
    $id = Get-TroubleId $_.Exception
    if ($id -ne '') { Stop-Script $id ([string]$_.Exception.Message) }
    throw
}
