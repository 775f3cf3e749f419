<#
.SYNOPSIS
    Prepares a MIM server for Nightshift: WinRM over HTTPS, one account with few rights, two folders. Run it as often as you like.

.DESCRIPTION
Reads    the server's state (see the table it returns) and what earlier runs changed (HKLM\SOFTWARE\Nightshift\MIMServer).
Writes   only what is not as it should be, after noting what was before. With -Check nothing at all.
Returns  one row an item: State (ok, wrong, note), Item, Is, Should. "note" is for you to judge; the script does not change it.
Exits    with 0 if nothing is wrong, else 10.

Run it in Windows PowerShell 5.1 (64 bit) as administrator, with WindowsServer.psm1 beside it. The page docs/windows.md explains each row.

.PARAMETER Account
    The account that Nightshift logs on with: CONTOSO\svc-nightshift, or .\nightshift for a local one. It must exist.
.PARAMETER SourceAddress
    Where WinRM may be called from: addresses, networks (10.1.2.0/24) or ranges. Without it the firewall is left alone.
.PARAMETER Thumbprint
    Certificate for the listener, from LocalMachine\My. Without it the best suitable one is taken, or a self-signed one made.
.PARAMETER BackupFolder
    Where exports are made.
.PARAMETER ImportFolder
    Folders that files are delivered into: FTPTargetDirectory, and the MaData folders of management agents if you publish there.
.PARAMETER SyncAdminsGroup
    Group whose members may export the synchronization configuration. Without it FIMSyncAdmins or MIMSyncAdmins of this machine.
.PARAMETER StorageAccount
    Name (or full host name) of the storage account that this server must reach.
.PARAMETER AsAdministrator
    Puts the account into the local Administrators. Only if an export is refused otherwise.
.PARAMETER AllowBasic
    Lets Basic authentication be (HTTPS only). Needed by nobody who uses NTLM or Kerberos.
.PARAMETER Check
    Changes nothing.
.PARAMETER Undo
    Takes back what earlier runs changed. Needs no other parameter; with -Check it only lists.

.EXAMPLE
    .\Initialize-MIMServer.ps1 -Check -Account CONTOSO\svc-nightshift -SourceAddress 10.1.2.0/24 -ImportFolder E:\Import\HR -StorageAccount nightshiftfiles
#>
[CmdletBinding()]
param(
    [string]$Account = '',
    [string[]]$SourceAddress = @(),
    [string]$Thumbprint = '',
    [string]$BackupFolder = 'C:\Backup',
    [string[]]$ImportFolder = @(),
    [string]$SyncAdminsGroup = '',
    [string]$StorageAccount = '',
    [switch]$AsAdministrator,
    [switch]$AllowBasic,
    [switch]$Check,
    [switch]$Undo
)
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
Import-Module -Name (Join-Path -Path $PSScriptRoot -ChildPath 'WindowsServer.psm1') -Force

$ruleName = 'Nightshift-WinRM-HTTPS'
$administrators = 'S-1-5-32-544'
# Rights as they stand in an ACE. For WinRM: Read (Get, Enumerate) and Execute (Invoke), not Write.
$remoteShell = -1610612736
$genericAll = 0x10000000
$fullControl = 0x1F01FF
$modify = 0x1301BF
$readOnly = 0x1200A9
# SYSTEM and Administrators, nobody else, nothing inherited.
$private = 'D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)'
$crypto = @('SOFTWARE\Microsoft\.NETFramework\v4.0.30319', 'SOFTWARE\Wow6432Node\Microsoft\.NETFramework\v4.0.30319')
$syncKey = 'SYSTEM\CurrentControlSet\Services\FIMSynchronizationService\Parameters'

function New-Row([string]$Item, [string]$Is, [string]$Should, [bool]$Right) {
    $state = 'wrong'
    if ($Right) { $state = 'ok' }
    [pscustomobject]@{ State = $state; Item = $Item; Is = $Is; Should = $Should }
}

function New-Note([string]$Item, [string]$Is, [string]$Should) {
    [pscustomobject]@{ State = 'note'; Item = $Item; Is = $Is; Should = $Should }
}

# Service

function Get-ServiceRow {
    $service = Get-ServiceFact 'WinRM'
    $is = 'stopped'
    if ($service.Running) { $is = 'running' }
    New-Row 'WinRM service' "$is, $($service.StartMode)" 'running, Auto' ($service.Running -and $service.StartMode -eq 'Auto')
}

function Set-ServiceRight {
    $service = Get-ServiceFact 'WinRM'
    if ($service.Running -and $service.StartMode -eq 'Auto') { return }
    Save-Record 'Service' '' "$($service.StartMode)|$($service.Running)"
    Set-ServiceStart 'WinRM' 'Auto' $true
}

# Settings of WinRM

function Get-WantedSetting {
    @{ 'Service\AllowUnencrypted' = 'false'; 'Service\Auth\Negotiate' = 'true'; 'Shell\AllowRemoteShellAccess' = 'true' }
    if (-not $AllowBasic) { @{ 'Service\Auth\Basic' = 'false' } }
}

function Get-SettingRow {
    foreach ($wanted in @(Get-WantedSetting)) {
        foreach ($path in $wanted.Keys) {
            $is = Get-WinRMSetting $path
            New-Row "WinRM $path" $is $wanted[$path] ($is -eq $wanted[$path])
        }
    }
}

function Set-SettingRight {
    foreach ($wanted in @(Get-WantedSetting)) {
        foreach ($path in $wanted.Keys) {
            $is = Get-WinRMSetting $path
            if ($is -ne $wanted[$path]) {
                Save-Record 'Setting' $path $is
                Set-WinRMSetting $path $wanted[$path]
            }
        }
    }
}

# Certificate and listener

function Test-Suitable($Certificate) {
    if (-not $Certificate.Usable) { return $false }
    $now = Get-Date
    if ($Certificate.NotBefore -gt $now -or $Certificate.NotAfter -lt $now) { return $false }
    if ($Thumbprint -ne '') { return $Certificate.Thumbprint -eq ($Thumbprint -replace '[^0-9A-Fa-f]', '') }
    $Certificate.NotAfter -gt $now.AddDays(30) -and @($Certificate.Names) -contains (Get-ServerName)
}

# The certificate to use; nothing if there is none. The listener's present one, then one of an authority, then the one that lasts longest.
function Get-BestCertificate {
    $suitable = @(Get-ServerCertificate | Where-Object { Test-Suitable $_ })
    $listener = Get-Listener 'HTTPS'
    if ($null -ne $listener) {
        $present = @($suitable | Where-Object { $_.Thumbprint -eq $listener.Thumbprint })
        if ($present.Count -gt 0) { return $present[0] }
    }
    $suitable |
        Sort-Object -Property @{ Expression = { $_.SelfSigned } }, @{ Expression = { $_.NotAfter }; Descending = $true } |
        Select-Object -First 1
}

function Get-CertificateRow {
    $best = Get-BestCertificate
    if ($null -eq $best) {
        $should = 'one for ' + (Get-ServerName) + ' (server authentication, private key, 30 days left)'
        if ($Thumbprint -ne '') { $should = "$Thumbprint in LocalMachine\My, valid, with its private key" }
        return New-Row 'Certificate' 'none' $should $false
    }
    New-Row 'Certificate' "$($best.Thumbprint), until $($best.NotAfter.ToString('yyyy-MM-dd'))" 'valid' $true
    if ($best.SelfSigned) { New-Note 'Certificate pin (self-signed)' (Get-CertificatePin $best.Thumbprint) 'set as the pin in Nightshift' }
}

function Set-CertificateRight {
    if ($null -ne (Get-BestCertificate)) { return }
    if ($Thumbprint -ne '') { throw "There is no valid certificate $Thumbprint with a private key in LocalMachine\My. Import it, or leave out -Thumbprint." }
    Save-Record 'Certificate' '' ''
    New-ServerCertificate (Get-ServerName)
}

function Get-ListenerRow {
    $listener = Get-Listener 'HTTPS'
    $best = Get-BestCertificate
    if ($null -eq $listener) { return New-Row 'HTTPS listener' 'none' 'port 5986' $false }
    $right = $null -ne $best -and $listener.Thumbprint -eq $best.Thumbprint -and $listener.Port -eq 5986 -and $listener.Enabled
    New-Row 'HTTPS listener' "port $($listener.Port), $($listener.Thumbprint), enabled: $($listener.Enabled)" 'port 5986, the certificate above, enabled' $right
}

function Set-ListenerRight {
    $listener = Get-Listener 'HTTPS'
    $best = Get-BestCertificate
    if ($null -eq $listener) {
        Save-Record 'Listener' '' ''
        New-HttpsListener $best.HostName $best.Thumbprint
    } elseif ($listener.Thumbprint -ne $best.Thumbprint -or $listener.Port -ne 5986 -or -not $listener.Enabled) {
        Save-Record 'Listener' '' "$($listener.HostName)|$($listener.Thumbprint)|$($listener.Port)|$($listener.Enabled)"
        Set-HttpsListener $best.HostName $best.Thumbprint 5986 $true
    }
}

# Firewall

# 10.1.2.0/24 as Windows shows it: 10.1.2.0/255.255.255.0.
function Get-AddressForm([string]$Address) {
    $parts = $Address.ToLowerInvariant().Split('/')
    if ($Address -notmatch '^[0-9.]+(/[0-9.]+)?$') { return $Address.ToLowerInvariant() }
    if ($parts.Count -eq 1 -or $parts[1] -eq '32') { return $parts[0] + '/255.255.255.255' }
    if ($parts[1].Contains('.')) { return $Address }
    $bits = [Convert]::ToUInt32(('1' * [int]$parts[1]).PadRight(32, '0'), 2)
    $bytes = @(24, 16, 8, 0) | ForEach-Object { [Math]::Floor($bits / [Math]::Pow(2, $_)) % 256 }
    $parts[0] + '/' + ($bytes -join '.')
}

function Test-FirewallRight($Rule) {
    if ($null -eq $Rule -or -not $Rule.Enabled -or ($Rule.Ports -join ',') -ne '5986') { return $false }
    $is = @($Rule.Addresses | ForEach-Object { Get-AddressForm $_ } | Sort-Object) -join ' '
    $is -eq (@($SourceAddress | ForEach-Object { Get-AddressForm $_ } | Sort-Object) -join ' ')
}

function Get-FirewallRow {
    $rule = Get-InboundRule $ruleName
    $is = 'none'
    if ($null -ne $rule) { $is = "port $($rule.Ports -join ','), from $($rule.Addresses -join ', '), enabled: $($rule.Enabled)" }
    if ($SourceAddress.Count -eq 0) {
        New-Note 'Firewall rule' $is 'give -SourceAddress to have one made'
    } else {
        New-Row 'Firewall rule' $is "port 5986, from $($SourceAddress -join ', ')" (Test-FirewallRight $rule)
    }
    foreach ($other in @(Get-OpenRule $ruleName '5986')) { New-Note 'Another rule opens 5986 to all' $other 'limit or disable it' }
}

function Set-FirewallRight {
    if ($SourceAddress.Count -eq 0 -or (Test-FirewallRight (Get-InboundRule $ruleName))) { return }
    Save-Record 'Firewall' $ruleName ''
    Set-InboundRule $ruleName '5986' $SourceAddress
}

# Rights of the account

function Test-ShellGrant([int]$Mask) {
    ($Mask -band $genericAll) -ne 0 -or ($Mask -band $remoteShell) -eq $remoteShell
}

# Groups of this machine that the account should be in, by SID, with the name to show.
function Get-WantedGroup {
    $names = @('FIMSyncAdmins', 'MIMSyncAdmins')
    if ($SyncAdminsGroup -ne '') { $names = @($SyncAdminsGroup) }
    foreach ($name in $names) {
        $sid = Get-LocalGroupSid $name
        if ($null -ne $sid) { [pscustomobject]@{ Name = $name; Sid = $sid } }
    }
    if ($AsAdministrator) { [pscustomobject]@{ Name = 'Administrators'; Sid = $administrators } }
}

function Get-AccountRow {
    if ($Account -eq '') { return New-Note 'Account' 'not given' 'give -Account to check its rights' }
    $sid = Get-AccountSid $Account
    if ($null -eq $sid) { return New-Row 'Account' "$Account does not exist" 'create it first' $false }
    New-Row 'Account' "$Account, $sid" 'exists' $true
    $granted = Test-ShellGrant (Get-GrantMask (Get-WinRMSetting 'Service\RootSDDL') $sid)
    New-Row 'WinRM access (RootSDDL)' "read and execute for the account: $granted" 'True' $granted
    $groups = @(Get-WantedGroup)
    foreach ($group in $groups) {
        $member = Test-GroupMember $group.Sid $sid
        New-Row "Member of $($group.Name)" "$member" 'True' $member
    }
    if (@($groups | Where-Object { $_.Sid -ne $administrators }).Count -eq 0) {
        New-Note 'Synchronization admins group' 'none on this machine' 'if it is a domain group, add the account there'
    }
    if ($AsAdministrator -and @('.', [Environment]::MachineName) -contains $Account.Split('\')[0]) {
        $policy = Get-RegistryValue 'SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System' 'LocalAccountTokenFilterPolicy'
        New-Note 'LocalAccountTokenFilterPolicy' "$policy" 'without 1 a local administrator has no such rights from afar: better a domain account'
    }
}

function Set-AccountRight {
    if ($Account -eq '') { return }
    $sid = Get-AccountSid $Account
    $sddl = Get-WinRMSetting 'Service\RootSDDL'
    $mask = Get-GrantMask $sddl $sid
    if (-not (Test-ShellGrant $mask)) {
        Save-Record 'Shell' $sid ([string]$mask)
        Set-WinRMSetting 'Service\RootSDDL' (Get-SddlWith $sddl $sid ($mask -bor $remoteShell))
    }
    foreach ($group in @(Get-WantedGroup)) {
        if (-not (Test-GroupMember $group.Sid $sid)) {
            Save-Record 'Group' "$($group.Sid)|$sid" ''
            Add-GroupMember $group.Sid $sid
        }
    }
}

# TLS 1.2 for .NET programs, PowerShell among them, that leave the choice to the system

function Get-CryptoRow {
    foreach ($key in $crypto) {
        foreach ($name in @('SchUseStrongCrypto', 'SystemDefaultTlsVersions')) {
            $is = Get-RegistryValue $key $name
            New-Row "$name ($(($key -split '\\')[1]))" "$is" '1' ($is -eq 1)
        }
    }
}

function Set-CryptoRight {
    foreach ($key in $crypto) {
        foreach ($name in @('SchUseStrongCrypto', 'SystemDefaultTlsVersions')) {
            $is = Get-RegistryValue $key $name
            if ($is -ne 1) {
                Save-Record 'Registry' "$key|$name" "$is"
                Set-RegistryNumber $key $name 1
            }
        }
    }
}

# Folders

# What each folder needs: who, with which rights. The synchronization service reads what is delivered.
function Get-WantedGrant {
    $sid = $null
    if ($Account -ne '') { $sid = Get-AccountSid $Account }
    $reader = $null
    $service = Get-ServiceFact 'FIMSynchronizationService'
    if ($null -ne $service) { $reader = Get-AccountSid $service.Account }
    foreach ($path in @(@($BackupFolder) + $ImportFolder)) {
        if ($null -ne $sid) { [pscustomobject]@{ Path = $path; Who = $Account; Sid = $sid; Rights = 'Modify'; Mask = $modify } }
        if ($null -ne $reader -and $path -ne $BackupFolder) {
            [pscustomobject]@{ Path = $path; Who = $service.Account; Sid = $reader; Rights = 'ReadAndExecute'; Mask = $readOnly }
        }
    }
}

function Test-FolderGrant([string]$Access, $Grant) {
    $mask = (Get-GrantMask $Access $Grant.Sid) -band $fullControl
    ($mask -band $Grant.Mask) -eq $Grant.Mask
}

function Get-FolderRow {
    foreach ($path in @(@($BackupFolder) + $ImportFolder)) {
        $exists = $null -ne (Get-FolderAccess $path)
        New-Row "Folder $path" "exists: $exists" 'exists: True' $exists
    }
    foreach ($grant in @(Get-WantedGrant)) {
        $access = Get-FolderAccess $grant.Path
        $right = $null -ne $access -and (Test-FolderGrant $access $grant)
        New-Row "$($grant.Path): $($grant.Who)" "$($grant.Rights): $right" "$($grant.Rights): True" $right
    }
    $access = Get-FolderAccess $BackupFolder
    foreach ($everyone in @('S-1-1-0', 'S-1-5-11', 'S-1-5-32-545')) {
        if ($null -ne $access -and (Get-GrantMask $access $everyone) -ne 0) {
            New-Note "$BackupFolder is open to $everyone" 'True' 'backups are confidential: remove users from its permissions'
        }
    }
}

function Set-FolderRight {
    foreach ($path in @(@($BackupFolder) + $ImportFolder)) {
        if ($null -eq (Get-FolderAccess $path)) {
            Save-Record 'Folder' $path ''
            if ($path -eq $BackupFolder) { New-PrivateFolder $path $private } else { New-Folder $path }
        }
    }
    foreach ($grant in @(Get-WantedGrant)) {
        $access = Get-FolderAccess $grant.Path
        if (-not (Test-FolderGrant $access $grant)) {
            Save-Record 'Folder' $grant.Path $access
            Add-FolderGrant $grant.Path $grant.Sid $grant.Rights
        }
    }
}

# What the script only looks at

function Get-SurroundingsRow {
    if ($null -ne (Get-Listener 'HTTP')) { New-Note 'HTTP listener (5985)' 'present' 'not needed by Nightshift; others may use it' }
    $hardening = Get-WinRMSetting 'Service\Auth\CbtHardeningLevel'
    New-Note 'CbtHardeningLevel' $hardening 'any: NTLM over HTTPS sends the channel binding'
    New-Note 'MaxMemoryPerShellMB' (Get-WinRMSetting 'Shell\MaxMemoryPerShellMB') '1024 or more'
    New-Note 'IPv4Filter' (Get-WinRMSetting 'Service\IPv4Filter') 'not empty (set by group policy): empty means that WinRM listens nowhere'
    foreach ($side in @('Server', 'Client')) {
        $key = 'SYSTEM\CurrentControlSet\Control\SecurityProviders\SCHANNEL\Protocols\TLS 1.2\' + $side
        $enabled = Get-RegistryValue $key 'Enabled'
        $disabled = Get-RegistryValue $key 'DisabledByDefault'
        $off = ($null -ne $enabled -and $enabled -eq 0) -or ($null -ne $disabled -and $disabled -ne 0)
        if ($off) { New-Row "TLS 1.2 ($side)" 'switched off in SCHANNEL' 'on (change it yourself; needs a restart)' $false }
    }
    $path = Get-RegistryValue $syncKey 'Path'
    New-Note 'MIM synchronization service' "$path" 'its folder; empty if it is not installed here'
    New-Note 'LithnetMIISAutomation' "$(Test-ModulePresent 'LithnetMIISAutomation')" 'True for the engine lithnet; svrexport and maexport do without'
    New-Note 'FIMAutomation snap-in' "$(Test-SnapInPresent 'FIMAutomation')" 'True for the portal export; else that part is skipped'
    if ($StorageAccount -eq '') { return New-Note 'Storage account' 'not tried' 'give -StorageAccount' }
    $storage = $StorageAccount
    if (-not $storage.Contains('.')) { $storage = $storage + '.blob.core.windows.net' }
    $reply = Get-HttpsReply $storage
    if ($reply.Status -eq 0) { return New-Row "https://$storage" $reply.Trouble 'an answer on port 443, without a proxy' $false }
    New-Row "https://$storage" "answers ($($reply.Status))" 'an answer' $true
    New-Row 'Clock' "$($reply.SkewSeconds) s ahead of the storage account" 'within 300 s' ([Math]::Abs($reply.SkewSeconds) -le 300)
}

# Undo

function Undo-Record($Record) {
    $first = ''
    if ($Record.Arguments.Count -gt 0) { $first = $Record.Arguments[0] }
    switch ($Record.Kind) {
        'Listener' {
            $was = $Record.Was.Split('|')
            if ($was.Count -eq 4) {
                Set-HttpsListener $was[0] $was[1] ([int]$was[2]) ($was[3] -eq 'True')
            } elseif ($null -ne (Get-Listener 'HTTPS')) {
                Remove-HttpsListener
            }
        }
        'Certificate' {
            Remove-ServerCertificate
        }
        'Firewall' {
            Remove-InboundRule $first
        }
        'Shell' {
            Set-WinRMSetting 'Service\RootSDDL' (Get-SddlWith (Get-WinRMSetting 'Service\RootSDDL') $first ([int]$Record.Was))
        }
        'Group' {
            if (Test-GroupMember $first $Record.Arguments[1]) { Remove-GroupMember $first $Record.Arguments[1] }
        }
        'Setting' {
            Set-WinRMSetting $first $Record.Was
        }
        'Registry' {
            if ($Record.Was -eq '') { Remove-RegistryNumber $first $Record.Arguments[1] } else { Set-RegistryNumber $first $Record.Arguments[1] ([int]$Record.Was) }
        }
        'Folder' {
            if ($Record.Was -eq '') { Remove-EmptyFolder $first } elseif ($null -ne (Get-FolderAccess $first)) { Set-FolderAccess $first $Record.Was }
        }
        'Service' {
            $was = $Record.Was.Split('|')
            Set-ServiceStart 'WinRM' $was[0] ($was[1] -eq 'True')
        }
        default {
            throw "The record $($Record.Name) is of an unknown kind: was it written by a newer version?"
        }
    }
}

# The listener lets go of its certificate first; the service, which the others need, comes last.
$undoOrder = @('Listener', 'Certificate', 'Firewall', 'Shell', 'Group', 'Setting', 'Registry', 'Folder', 'Service')

function Get-UndoRow {
    foreach ($record in @(Get-Record | Sort-Object -Property @{ Expression = { [Array]::IndexOf($undoOrder, $_.Kind) } })) {
        New-Note 'Changed by an earlier run' $record.Name "before: $($record.Was)"
    }
}

function Invoke-Undo {
    foreach ($record in @(Get-Record | Sort-Object -Property @{ Expression = { [Array]::IndexOf($undoOrder, $_.Kind) } })) {
        Undo-Record $record
        Remove-Record $record.Name
        New-Note 'Taken back' $record.Name "is as before: $($record.Was)"
    }
}

# Order matters: each step may rely on those before it.
function Set-Right {
    Set-ServiceRight
    Set-SettingRight
    Set-CertificateRight
    Set-ListenerRight
    Set-FirewallRight
    Set-AccountRight
    Set-CryptoRight
    Set-FolderRight
}

function Get-Table {
    Get-ServiceRow
    if ((Get-ServiceFact 'WinRM').Running) {
        Get-SettingRow
        Get-CertificateRow
        Get-ListenerRow
        Get-AccountRow
        Get-SurroundingsRow
    } else {
        New-Note 'Everything of WinRM' 'not looked at' 'visible once the service runs'
    }
    Get-FirewallRow
    Get-CryptoRow
    Get-FolderRow
}

function Assert-Possible {
    $problem = Get-HostProblem
    if ($problem -ne '') { throw $problem }
    foreach ($address in $SourceAddress) {
        if ($address -notmatch '^[0-9a-fA-F.:]+([/-][0-9a-fA-F.:]+)?$' -or $address -match '/0$') { throw "-SourceAddress $address is no address, network or range; Any is not offered." }
    }
    $service = Get-ServiceFact 'WinRM'
    if ($null -eq $service) { throw 'There is no WinRM service: this is not a Windows server.' }
    if ($Check) { return }
    if ($Undo -and -not $service.Running) { throw 'The WinRM service is stopped, and its configuration cannot be reached. Start it (Start-Service WinRM) and undo again.' }
    if ($Account -ne '' -and $null -eq (Get-AccountSid $Account)) { throw "There is no account $Account. Create it first; docs/windows.md says how." }
}

Assert-Possible
if ($Undo) {
    if ($Check) { Get-UndoRow } else { Invoke-Undo }
    exit 0
}
if (-not $Check) { Set-Right }
$table = @(Get-Table)
$table
if (@($table | Where-Object { $_.State -eq 'wrong' }).Count -gt 0) { exit 10 }
exit 0
