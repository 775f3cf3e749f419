<#
.SYNOPSIS
Writes pieces of files that came with the parameters.

.DESCRIPTION
Reads    Pieces: for each the path of its file, offset, the file's size in bytes and SHA-256 in hexadecimal, data in base64, and
         whether a file with other content may be replaced. A piece without data only asks, unless its file is empty.
Writes   <path>.part, which gets its name once size and SHA-256 are right.
Returns  pieces: for each, in order, have: the bytes of the .part that are there, from which to go on; and an outcome: placed; there
         (with the same content); different (a file with other content has that name, and stays); part (more is to come).
Throws   disk-full, sharing-violation, no-drive.

Windows PowerShell 5.1.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][string]$Folder,
    [Parameter(Mandatory = $true)][object[]]$Pieces,
    [long]$Need = 0
)
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

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

function Test-Content([string]$path, $piece) {
    return ((New-Object IO.FileInfo $path).Length -eq [long]$piece.size) -and ((Get-Sha256 $path) -eq [string]$piece.sha256)
}

# Writes where the .part has no gap before the piece. Returns its length.
function Write-Piece([string]$part, $piece, [byte[]]$data) {
    $stream = [IO.File]::Open($part, [IO.FileMode]::OpenOrCreate, [IO.FileAccess]::Write, [IO.FileShare]::None)
    try {
        if ($stream.Length -gt [long]$piece.size) { $stream.SetLength(0) }
        if ([long]$piece.offset -le $stream.Length) {
            $stream.Position = [long]$piece.offset
            $stream.Write($data, 0, $data.Length)
        }
        return $stream.Length
    } finally { $stream.Close() }
}

function Add-Piece($piece) {
    $path = [string]$piece.path
    $exists = [IO.File]::Exists($path)
    if ($exists) {
        if (Test-Content $path $piece) { return @{ outcome = 'there'; have = [long]$piece.size } }
        if (-not $piece.replace) { return @{ outcome = 'different'; have = [long]0 } }
    }
    $part = "$path.part"
    $data = [Convert]::FromBase64String([string]$piece.data)
    if ($data.Length -eq 0 -and [long]$piece.size -gt 0) {
        $have = [long]0
        if ([IO.File]::Exists($part)) { $have = (New-Object IO.FileInfo $part).Length }
        return @{ outcome = 'part'; have = $have }
    }
    $null = [IO.Directory]::CreateDirectory([IO.Path]::GetDirectoryName($path))
    $have = Write-Piece $part $piece $data
    if ($have -lt [long]$piece.size) { return @{ outcome = 'part'; have = [long]$have } }
    if (-not (Test-Content $part $piece)) {
        [IO.File]::Delete($part)
        return @{ outcome = 'part'; have = [long]0 }
    }
    if ($exists) { [IO.File]::Replace($part, $path, [NullString]::Value) } else { [IO.File]::Move($part, $path) }
    return @{ outcome = 'placed'; have = [long]$piece.size }
}

try {
    if (-not [IO.Directory]::Exists([IO.Path]::GetPathRoot($Folder))) { Stop-Script 'no-drive' "there is no drive for $Folder" }
    $free = Get-FreeBytes $Folder
    if ($free -lt $Need) { Stop-Script 'disk-full' "the drive of $Folder has $free bytes free, the files need $Need" }
    $answers = New-Object Collections.ArrayList
    foreach ($piece in $Pieces) { $null = $answers.Add((Add-Piece $piece)) }
    @{ pieces = $answers.ToArray() }
} catch {
    $id = Get-TroubleId $_.Exception
    if ($id -ne '') { Stop-Script $id ([string]$_.Exception.Message) }
    throw
}
