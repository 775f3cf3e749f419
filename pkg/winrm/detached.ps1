# Starts a script so that it outlives the shell and the connection, follows it, and tells how it ended.
#
# A run has a folder, %ProgramData%\Nightshift\runs\<Key>, for administrators and the account only:
#   nonce  what marks the messages in out
#   task   what the script is started with; gone when it has ended
#   out    its standard output. The process holds this file open, so it is the lock too: a second process cannot open it and
#          ends before it has begun, and when the process dies, even with the server, the lock dies with it
#   err    its standard error
#   exit   its exit code, written last
#
# Reads    Action       follow; start, where no run of this key is under way; or forget one that has ended
#          Key          name of the run: lower-case letters, digits, dashes
#          Offset       follow: how many bytes of out the caller has
#          WaitSeconds  follow: how long to wait for more
#          Task, Nonce, Command  start: what to feed to which command
# Writes   the folder; removes those of runs that ended more than 14 days ago
# Returns  state   none, running, ended (with exit), or lost: it died without an exit code
#          nonce, out and err (base64), offset (of the next byte of out), exit
#
# Started by WMI, not as a child: what a shell starts ends with the shell. It runs as the account that calls, so nothing is left
# behind that could be started again, no password is stored, and no right is needed that remote shells do not need.
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][ValidateSet('follow', 'start', 'forget')][string]$Action,
    [Parameter(Mandatory = $true)][ValidatePattern('^[a-z0-9-]{1,100}$')][string]$Key,
    [long]$Offset = 0,
    [int]$WaitSeconds = 0,
    [string]$Task = '',
    [string]$Nonce = '',
    [string]$Command = ''
)
Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'

$MaxBytes = 196608
$root = Join-Path $env:ProgramData 'Nightshift\runs'
$folder = Join-Path $root $Key
$files = @{}
foreach ($name in 'nonce', 'task', 'out', 'err', 'exit') { $files[$name] = Join-Path $folder $name }

# The three functions that only Windows can do; tests replace them.
function Protect-Folder([string]$Path) {
    $mine = [Security.Principal.WindowsIdentity]::GetCurrent().User
    $trusted = @($mine.Value, 'S-1-5-32-544', 'S-1-5-18')
    $owner = (Get-Acl -LiteralPath $Path).GetOwner([Security.Principal.SecurityIdentifier]).Value
    if ($trusted -notcontains $owner) { Stop-Script 'untrusted-folder' "The folder $Path belongs to somebody else ($owner)." }
    $acl = New-Object Security.AccessControl.DirectorySecurity
    $acl.SetAccessRuleProtection($true, $false)
    foreach ($sid in $trusted) {
        $who = New-Object Security.Principal.SecurityIdentifier $sid
        $rule = New-Object Security.AccessControl.FileSystemAccessRule $who, 'FullControl', 'ContainerInherit, ObjectInherit', 'None', 'Allow'
        $acl.AddAccessRule($rule)
    }
    Set-Acl -LiteralPath $Path -AclObject $acl
}

function Start-Detached([string]$Line, [string]$Path) {
    $made = ([wmiclass]'Win32_Process').Create($Line, $Path, $null)
    if ($made.ReturnValue -ne 0) { Stop-Script 'not-started' "Windows did not start the script (Win32_Process.Create returned $($made.ReturnValue))." }
}

function Test-Locked([string]$Path) {
    if (-not (Test-Path -LiteralPath $Path)) { return $false }
    try {
        [IO.File]::Open($Path, 'Open', 'Write', 'ReadWrite').Close()
        return $false
    } catch [IO.IOException] {
        return $true
    }
}

function Read-Shared([string]$Path, [long]$From) {
    if (-not (Test-Path -LiteralPath $Path)) { return '' }
    $stream = [IO.File]::Open($Path, 'Open', 'Read', 'ReadWrite')
    try {
        $count = [Math]::Min($stream.Length - $From, $MaxBytes)
        if ($count -le 0) { return '' }
        $bytes = New-Object byte[] $count
        [void]$stream.Seek($From, 'Begin')
        $read = $stream.Read($bytes, 0, $count)
        return [Convert]::ToBase64String($bytes, 0, $read)
    } finally {
        $stream.Close()
    }
}

function Get-State {
    # The order matters: a run that ends in between must not seem lost.
    $locked = Test-Locked $files.out
    if (Test-Path -LiteralPath $files.exit) { return 'ended' }
    if ($locked) { return 'running' }
    if (Test-Path -LiteralPath $files.out) {
        if (Test-Path -LiteralPath $files.exit) { return 'ended' }
        return 'lost'
    }
    return 'none'
}

function Get-Length {
    if (Test-Path -LiteralPath $files.out) { return (Get-Item -LiteralPath $files.out).Length }
    return 0
}

function Get-Report {
    $state = Get-State
    $report = @{ state = $state; nonce = ''; out = ''; err = ''; offset = $Offset; exit = 0 }
    if ($state -eq 'none') { return $report }
    $report.nonce = [IO.File]::ReadAllText($files.nonce)
    $report.out = Read-Shared $files.out $Offset
    $report.offset = $Offset + [Convert]::FromBase64String($report.out).Length
    if ($state -ne 'running' -and $report.offset -lt (Get-Length)) { $report.state = 'running' }
    elseif ($state -eq 'ended') {
        $report.exit = [int][IO.File]::ReadAllText($files.exit).Trim()
        $report.err = Read-Shared $files.err 0
    }
    return $report
}

function Start-Run {
    if (-not (Test-Path -LiteralPath $root)) { [void](New-Item -ItemType Directory -Force -Path $root) }
    Protect-Folder $root
    Remove-OldRun
    [void](New-Item -ItemType Directory -Force -Path $folder)
    # Two that start at the same time: one waits here for the other, and then finds the run under way.
    $gate = Enter-Gate (Join-Path $folder 'gate')
    try {
        if ('running', 'ended' -contains (Get-State)) { return }
        foreach ($name in 'exit', 'out', 'err', 'task', 'nonce') { Remove-Item -LiteralPath $files[$name] -Force -ErrorAction SilentlyContinue }
        [IO.File]::WriteAllText($files.nonce, $Nonce)
        [IO.File]::WriteAllText($files.task, $Task)
        # Where out cannot be opened, nothing in the brackets happens.
        Start-Detached ('cmd.exe /d /v:on /c (' + $Command + ' & echo !errorlevel!>exit) <task >out 2>err && del task') $folder
        $limit = [DateTime]::UtcNow.AddSeconds(30)
        while (-not (Test-Path -LiteralPath $files.out)) {
            if ([DateTime]::UtcNow -gt $limit) { Stop-Script 'not-started' 'The script was started, but did not begin within 30 seconds.' }
            Start-Sleep -Milliseconds 50
        }
    } finally {
        $gate.Close()
    }
}

function Enter-Gate([string]$Path) {
    $limit = [DateTime]::UtcNow.AddSeconds(60)
    while ($true) {
        try {
            return [IO.File]::Open($Path, 'OpenOrCreate', 'Write', 'None')
        } catch [IO.IOException] {
            if ([DateTime]::UtcNow -gt $limit) { Stop-Script 'busy' "Somebody else has been starting this run for a minute." }
        }
        Start-Sleep -Milliseconds 100
    }
}

function Remove-OldRun {
    $oldest = [DateTime]::UtcNow.AddDays(-14)
    foreach ($old in Get-ChildItem -LiteralPath $root -Directory) {
        if ($old.Name -ne $Key -and $old.LastWriteTimeUtc -lt $oldest -and -not (Test-Locked (Join-Path $old.FullName 'out'))) {
            Remove-Item -LiteralPath $old.FullName -Recurse -Force -ErrorAction SilentlyContinue
        }
    }
}

if ($Action -eq 'start') { Start-Run }
if ($Action -eq 'forget' -and (Get-State) -ne 'running') { Remove-Item -LiteralPath $folder -Recurse -Force -ErrorAction SilentlyContinue }
$limit = [DateTime]::UtcNow.AddSeconds($WaitSeconds)
while ($Action -eq 'follow' -and (Get-State) -eq 'running' -and (Get-Length) -le $Offset -and [DateTime]::UtcNow -lt $limit) {
    Start-Sleep -Milliseconds 200
}
return Get-Report
