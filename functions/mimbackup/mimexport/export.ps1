<#
.SYNOPSIS
Exports the configuration of a MIM server into a new folder.

.DESCRIPTION
Reads    the registry (where the Synchronization Service is), its management agents and metaverse, its Extensions folder, and
         policy and schema of the MIM Service.
Writes   <Root>\<Name>, or <Root>\<Name>-2 and so on where that exists: MAExports, ServerExport, MAExtensions, PortalExport,
         and, last, manifest.json. It never writes into a folder that was there before.
Returns  folder, manifestSha256, and the manifest: for each part its outcome (ok, skipped, failed), the reason and the files. A part
         that fails does not stop the others.
Throws   disk-full, no-sync-service, no-engine, nothing-exported.

Windows PowerShell 5.1. The functions under "Windows only" can be replaced by a module of the same names.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][string]$RunId,
    [Parameter(Mandatory = $true)][string]$Root,
    [Parameter(Mandatory = $true)][string]$Name,
    [Parameter(Mandatory = $true)][string]$Engine,
    [long]$MinFreeBytes = 0,
    [string]$PortalUri = '',
    [string]$PortalUser = '',
    [string]$PortalPassword = ''
)
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$partNames = 'MAExports', 'ServerExport', 'MAExtensions', 'PortalExport'

# ---- Windows only

if (-not (Get-Command Get-SyncServicePath -ErrorAction SilentlyContinue)) {
    function Get-SyncServicePath {
        $key = 'HKLM:\SYSTEM\CurrentControlSet\Services\FIMSynchronizationService\Parameters'
        if (-not (Test-Path -LiteralPath $key)) { return '' }
        return [string](Get-ItemProperty -LiteralPath $key).Path
    }
}
if (-not (Get-Command Test-Lithnet -ErrorAction SilentlyContinue)) {
    function Test-Lithnet { return [bool](Get-Module -ListAvailable -Name LithnetMIISAutomation) }
}
if (-not (Get-Command Get-AgentNames -ErrorAction SilentlyContinue)) {
    function Get-AgentNames([string]$engine) {
        if ($engine -eq 'lithnet') { return @(Get-ManagementAgent | ForEach-Object { [string]$_.Name }) }
        return @(Get-WmiObject -Namespace 'root\MicrosoftIdentityIntegrationServer' -Class 'MIIS_ManagementAgent' | ForEach-Object { [string]$_.Name })
    }
}
if (-not (Get-Command Export-Agent -ErrorAction SilentlyContinue)) {
    function Export-Agent([string]$engine, [string]$agent, [string]$file) {
        if ($engine -eq 'lithnet') { $null = Export-ManagementAgent -MA $agent -File $file; return }
        Invoke-Tool (Join-Path (Get-SyncServicePath) 'Bin\maexport.exe') @($agent, $file)
    }
}
if (-not (Get-Command Export-SyncServer -ErrorAction SilentlyContinue)) {
    function Export-SyncServer([string]$engine, [string]$folder) {
        if ($engine -eq 'lithnet') { $null = Export-MetaverseConfiguration -Path $folder; return }
        Invoke-Tool (Join-Path (Get-SyncServicePath) 'Bin\svrexport.exe') @($folder, '/v')
    }
}
if (-not (Get-Command Test-PortalTools -ErrorAction SilentlyContinue)) {
    function Test-PortalTools { return [bool](Get-PSSnapin -Registered -Name FIMAutomation -ErrorAction SilentlyContinue) }
}
if (-not (Get-Command Export-Portal -ErrorAction SilentlyContinue)) {
    function Export-Portal([string]$what, [hashtable]$connection, [string]$file) {
        if (-not (Get-PSSnapin -Name FIMAutomation -ErrorAction SilentlyContinue)) { Add-PSSnapin FIMAutomation }
        if ($what -eq 'schema') { $objects = Export-FIMConfig @connection -SchemaConfig -CustomConfig '/SynchronizationFilter' }
        else { $objects = Export-FIMConfig @connection -PolicyConfig -PortalConfig }
        if (@($objects).Count -eq 0) { throw "the MIM Service returned no $what objects" }
        $null = $objects | ConvertFrom-FIMResource -File $file
    }
}
if (-not (Get-Command Get-FreeBytes -ErrorAction SilentlyContinue)) {
    function Get-FreeBytes([string]$path) { return (New-Object IO.DriveInfo ([IO.Path]::GetPathRoot($path))).AvailableFreeSpace }
}

# ---- small tools

# A native tool's own output goes to the log, its arguments are quoted as Windows programs read them.
function Invoke-Tool([string]$exe, [string[]]$arguments) {
    if (-not (Test-Path -LiteralPath $exe)) { throw "$exe is not there" }
    $start = New-Object Diagnostics.ProcessStartInfo $exe
    $start.Arguments = ($arguments | ForEach-Object { '"' + $_.Replace('"', '\"') + '"' }) -join ' '
    $start.UseShellExecute = $false
    $start.RedirectStandardInput = $true
    $start.RedirectStandardOutput = $true
    $start.CreateNoWindow = $true
    $process = [Diagnostics.Process]::Start($start)
    $process.StandardInput.Close()
    $text = $process.StandardOutput.ReadToEnd()
    $process.WaitForExit()
    if ($process.ExitCode -ne 0) {
        throw ('{0} ended with {1}: {2}' -f [IO.Path]::GetFileName($exe), $process.ExitCode, $text.Trim())
    }
}

# The exporting tools have been seen to write nothing and to report nothing.
function Assert-Xml([string]$file) {
    if (-not (Test-Path -LiteralPath $file)) { throw "the export reported no error and wrote no file" }
    $settings = New-Object Xml.XmlReaderSettings
    $settings.DtdProcessing = [Xml.DtdProcessing]::Prohibit
    $settings.CheckCharacters = $false
    $reader = [Xml.XmlReader]::Create($file, $settings)
    try { while ($reader.Read()) { } } finally { $reader.Close() }
}

# Management agents may be called what no file can be.
function Get-FileName([string]$name, [hashtable]$taken) {
    $base = $name
    foreach ($c in [IO.Path]::GetInvalidFileNameChars()) { $base = $base.Replace([string]$c, '_') }
    $base = $base.Trim().TrimEnd('.')
    if ($base.Length -gt 100) { $base = $base.Substring(0, 100) }
    if ($base -eq '' -or $base -match '^(?i)(con|prn|aux|nul|com\d|lpt\d)($|\.)') { $base = '_' + $base }
    $file = $base
    for ($i = 2; $taken.ContainsKey($file.ToLowerInvariant()); $i++) { $file = "$base-$i" }
    $taken[$file.ToLowerInvariant()] = $true
    return "$file.xml"
}

function New-BackupFolder([string]$root, [string]$name) {
    $null = New-Item -ItemType Directory -Force -Path $root
    for ($i = 1; $i -lt 100; $i++) {
        $folder = Join-Path $root $name
        if ($i -gt 1) { $folder = "$folder-$i" }
        if (Test-Path -LiteralPath $folder) { continue }
        try { return (New-Item -ItemType Directory -Path $folder).FullName }
        catch { if (-not (Test-Path -LiteralPath $folder)) { throw } }
    }
    Stop-Script 'folder-taken' "$name and 98 more of that name exist in $root already"
}

function Get-Engine([string]$wanted) {
    $builtin = Test-Path -LiteralPath (Join-Path (Get-SyncServicePath) 'Bin\svrexport.exe')
    if ($wanted -ne 'builtin' -and (Test-Lithnet)) {
        Import-Module LithnetMIISAutomation -ErrorAction SilentlyContinue
        return 'lithnet'
    }
    if ($wanted -ne 'lithnet' -and $builtin) { return 'builtin' }
    Stop-Script 'no-engine' "the engine '$wanted' is not on this server: install the module LithnetMIISAutomation, or see that svrexport.exe is in the Bin folder"
}

function Skip-Part([string]$reason) { Stop-Script 'part-skipped' $reason }

# ---- parts; each notes in $sources where a file comes from

function Export-MAExports([string]$folder, [hashtable]$sources) {
    $failed = @()
    $taken = @{}
    $agents = @(Get-AgentNames $engineUsed)
    if ($agents.Count -eq 0) { throw 'the Synchronization Service shows no management agent: the account must be in MIMSyncAdmins (FIMSyncAdmins)' }
    foreach ($agent in $agents) {
        $file = Get-FileName $agent $taken
        $path = Join-Path $folder $file
        try {
            Export-Agent $engineUsed $agent $path
            Assert-Xml $path
            $sources["MAExports/$file"] = $agent
        } catch {
            $failed += "${agent}: $($_.Exception.Message)"
            if (Test-Path -LiteralPath $path) { Remove-Item -LiteralPath $path -Force }
        }
        Send-Event @{ type = 'progress'; step = 'MAExports'; message = $agent; done = $taken.Count; total = $agents.Count }
    }
    if ($failed.Count -gt 0) { throw ('{0} of {1} management agents were not exported: {2}' -f $failed.Count, $agents.Count, ($failed -join '; ')) }
}

function Export-ServerExport([string]$folder, [hashtable]$sources) {
    Export-SyncServer $engineUsed $folder
    Assert-Xml (Join-Path $folder 'MV.XML')
    foreach ($file in Get-ChildItem -LiteralPath $folder -File) {
        Assert-Xml $file.FullName
        $sources["ServerExport/$($file.Name)"] = 'server configuration'
    }
}

function Export-MAExtensions([string]$folder, [hashtable]$sources) {
    $from = Join-Path (Get-SyncServicePath) 'Extensions'
    if (-not (Test-Path -LiteralPath $from)) { Skip-Part "there is no folder $from" }
    $files = @(Get-ChildItem -LiteralPath $from -Recurse -File)
    if ($files.Count -eq 0) { Skip-Part "the folder $from is empty" }
    foreach ($file in $files) {
        $relative = $file.FullName.Substring($from.Length).TrimStart('\', '/')
        $to = Join-Path $folder $relative
        $null = New-Item -ItemType Directory -Force -Path ([IO.Path]::GetDirectoryName($to))
        Copy-Item -LiteralPath $file.FullName -Destination $to
        $sources['MAExtensions/' + $relative.Replace('\', '/')] = $file.FullName
    }
}

function Export-PortalExport([string]$folder, [hashtable]$sources) {
    if (-not (Test-PortalTools)) { Skip-Part 'the snap-in FIMAutomation is not registered on this server' }
    $connection = @{ Uri = $PortalUri; MessageSize = 9999999 }
    if ($PortalUser -ne '') {
        $password = ConvertTo-SecureString $PortalPassword -AsPlainText -Force
        $connection['Credential'] = New-Object Management.Automation.PSCredential $PortalUser, $password
    }
    foreach ($what in 'schema', 'policy') {
        $file = Join-Path $folder "$what.xml"
        Export-Portal $what $connection $file
        Assert-Xml $file
        $sources["PortalExport/$what.xml"] = "$what of $PortalUri"
    }
}

# ---- the manifest

function Get-Sha256([string]$path) {
    $stream = [IO.File]::OpenRead($path)
    $sha = [Security.Cryptography.SHA256]::Create()
    try { return [BitConverter]::ToString($sha.ComputeHash($stream)).Replace('-', '').ToLowerInvariant() }
    finally { $stream.Close(); $sha.Dispose() }
}

function Get-PartFiles([string]$folder, [string]$part, [hashtable]$sources) {
    if (-not (Test-Path -LiteralPath (Join-Path $folder $part))) { return }
    foreach ($file in Get-ChildItem -LiteralPath (Join-Path $folder $part) -Recurse -File | Sort-Object FullName) {
        $relative = $file.FullName.Substring($folder.Length).TrimStart('\', '/').Replace('\', '/')
        $source = ''
        if ($sources.ContainsKey($relative)) { $source = [string]$sources[$relative] }
        @{ path = $relative; size = [long]$file.Length; sha256 = Get-Sha256 $file.FullName; source = $source }
    }
}

function Get-Now { return (Get-Date).ToUniversalTime().ToString('yyyy-MM-ddTHH:mm:ssZ') }

function Write-Text([string]$path, [string]$text) { [IO.File]::WriteAllText($path, $text, (New-Object Text.UTF8Encoding $false)) }

# ---- the run

if ((Get-SyncServicePath) -eq '') { Stop-Script 'no-sync-service' 'the MIM Synchronization Service is not installed on this server' }
$engineUsed = Get-Engine $Engine
$free = Get-FreeBytes $Root
if ($free -lt $MinFreeBytes) { Stop-Script 'disk-full' "the drive of $Root has $free bytes free, $MinFreeBytes are wanted" }
$folder = New-BackupFolder $Root $Name
$started = Get-Now
$parts = @()
$sources = @{}
foreach ($part in $partNames) {
    Send-Event @{ type = 'progress'; step = $part; message = 'begins'; done = $parts.Count; total = $partNames.Count }
    $entry = @{ name = $part; outcome = 'ok'; reason = '' }
    $into = Join-Path $folder $part
    try {
        $null = New-Item -ItemType Directory -Path $into
        $null = & "Export-$part" $into $sources
    } catch {
        $entry.outcome = 'failed'
        if ($_.FullyQualifiedErrorId -like 'part-skipped*') { $entry.outcome = 'skipped' }
        $entry.reason = [string]$_.Exception.Message
    }
    $parts += $entry
}
$files = 0
foreach ($entry in $parts) {
    $entry['files'] = @(Get-PartFiles $folder $entry.name $sources)
    $files += $entry.files.Count
}
if ($files -eq 0) { Stop-Script 'nothing-exported' (($parts | ForEach-Object { $_.name + ': ' + $_.reason }) -join '; ') }
$manifest = @{
    version = 1; runId = $RunId; server = [Environment]::MachineName; started = $started; finished = Get-Now
    folder = $folder; engine = $engineUsed; parts = $parts
}
Write-Text (Join-Path $folder 'manifest.json.part') (ConvertTo-Json -InputObject $manifest -Depth 8)
Move-Item -LiteralPath (Join-Path $folder 'manifest.json.part') -Destination (Join-Path $folder 'manifest.json')
@{ folder = $folder; manifest = $manifest; manifestSha256 = Get-Sha256 (Join-Path $folder 'manifest.json') }
