<#
.SYNOPSIS
    What Initialize-MIMServer.ps1 asks of Windows, one small function each. A module of the same functions can stand in for it.

Reads    services, WinRM's configuration, certificates, the firewall, local groups, the registry, folders; one HTTPS request.
Writes   the same, and only by functions whose verb is not Get or Test.
Returns  plain objects, numbers and strings.
#>
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

$records = 'SOFTWARE\Nightshift\MIMServer'
$friendlyName = 'Nightshift WinRM'

# Why the script cannot work in this PowerShell; empty if it can.
function Get-HostProblem {
    if ($PSVersionTable.PSVersion.Major -ne 5 -or -not [Environment]::Is64BitProcess) { return 'Run this in Windows PowerShell 5.1, 64 bit (powershell.exe).' }
    $me = New-Object Security.Principal.WindowsPrincipal ([Security.Principal.WindowsIdentity]::GetCurrent())
    if ($me.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) { return '' }
    'Run this as administrator: also to look, since WinRM shows its configuration to nobody else.'
}

function Get-ServerName {
    [Net.Dns]::GetHostEntry([Environment]::MachineName).HostName
}

function Get-ServiceFact([string]$Name) {
    $service = Get-CimInstance -ClassName Win32_Service -Filter "Name='$Name'"
    if ($null -eq $service) { return $null }
    [pscustomobject]@{ Running = ($service.State -eq 'Running'); StartMode = [string]$service.StartMode; Account = [string]$service.StartName }
}

function Set-ServiceStart([string]$Name, [string]$StartMode, [bool]$Running) {
    Set-Service -Name $Name -StartupType ($StartMode -replace '^Auto$', 'Automatic')
    if ($Running) { Start-Service -Name $Name } else { Stop-Service -Name $Name }
}

# WinRM. Its drive asks whether to start the service: call these only while it runs.

function Get-WinRMSetting([string]$Path) {
    [string](Get-Item -Path "WSMan:\localhost\$Path").Value
}

function Set-WinRMSetting([string]$Path, [string]$Value) {
    Set-Item -Path "WSMan:\localhost\$Path" -Value $Value -Force
}

function Get-Listener([string]$Transport) {
    foreach ($listener in @(Get-WSManInstance -ResourceURI 'winrm/config/Listener' -Enumerate)) {
        if ((Get-ElementText $listener 'Transport') -eq $Transport -and (Get-ElementText $listener 'Address') -eq '*') {
            return [pscustomobject]@{
                Port       = [int](Get-ElementText $listener 'Port')
                HostName   = Get-ElementText $listener 'Hostname'
                Thumbprint = (Get-ElementText $listener 'CertificateThumbprint') -replace '\s', ''
                Enabled    = ((Get-ElementText $listener 'Enabled') -eq 'true')
            }
        }
    }
}

# Strict mode fails on an element that is not there.
function Get-ElementText($Parent, [string]$Name) {
    foreach ($element in $Parent.ChildNodes) {
        if ($element.LocalName -eq $Name) { return $element.InnerText }
    }
    ''
}

function New-HttpsListener([string]$HostName, [string]$Thumbprint) {
    $selector = @{ Transport = 'HTTPS'; Address = '*' }
    $values = @{ Hostname = $HostName; CertificateThumbprint = $Thumbprint; Enabled = 'true'; Port = '5986' }
    $null = New-WSManInstance -ResourceURI 'winrm/config/Listener' -SelectorSet $selector -ValueSet $values
}

function Set-HttpsListener([string]$HostName, [string]$Thumbprint, [int]$Port, [bool]$Enabled) {
    $selector = @{ Transport = 'HTTPS'; Address = '*' }
    $values = @{ Hostname = $HostName; CertificateThumbprint = $Thumbprint; Enabled = "$Enabled".ToLowerInvariant(); Port = "$Port" }
    $null = Set-WSManInstance -ResourceURI 'winrm/config/Listener' -SelectorSet $selector -ValueSet $values
}

function Remove-HttpsListener {
    Remove-WSManInstance -ResourceURI 'winrm/config/Listener' -SelectorSet @{ Transport = 'HTTPS'; Address = '*' }
}

# Certificates

function Get-ServerCertificate {
    foreach ($certificate in @(Get-ChildItem -Path 'Cert:\LocalMachine\My')) {
        $uses = @($certificate.EnhancedKeyUsageList | Where-Object { $null -ne $_ } | ForEach-Object { $_.ObjectId })
        [pscustomobject]@{
            Thumbprint = $certificate.Thumbprint
            HostName   = $certificate.GetNameInfo([Security.Cryptography.X509Certificates.X509NameType]::DnsName, $false)
            Names      = @($certificate.DnsNameList | Where-Object { $null -ne $_ } | ForEach-Object { $_.Unicode })
            NotBefore  = $certificate.NotBefore
            NotAfter   = $certificate.NotAfter
            Usable     = ($certificate.HasPrivateKey -and ($uses.Count -eq 0 -or $uses -contains '1.3.6.1.5.5.7.3.1'))
            SelfSigned = ($certificate.Subject -eq $certificate.Issuer)
        }
    }
}

# The pin is the SHA-256 of the SubjectPublicKeyInfo (RFC 5280, section 4.1); .NET Framework gives only its parts.
function Get-CertificatePin([string]$Thumbprint) {
    $key = (Get-Item -LiteralPath "Cert:\LocalMachine\My\$Thumbprint").PublicKey
    $algorithm = Get-Der 0x30 ([Security.Cryptography.CryptoConfig]::EncodeOID($key.Oid.Value) + $key.EncodedParameters.RawData)
    $bits = Get-Der 0x03 (@(0) + $key.EncodedKeyValue.RawData)
    $hash = [Security.Cryptography.SHA256]::Create().ComputeHash((Get-Der 0x30 ($algorithm + $bits)))
    'sha256//' + [Convert]::ToBase64String($hash)
}

function Get-Der([byte]$Tag, [byte[]]$Content) {
    $size = $Content.Length
    $length = @($size)
    if ($size -gt 255) {
        $length = @(0x82, [Math]::Floor($size / 256), ($size % 256))
    } elseif ($size -gt 127) {
        $length = @(0x81, $size)
    }
    , ([byte[]](@($Tag) + $length + $Content))
}

function New-ServerCertificate([string]$Name) {
    $options = @{ DnsName = @($Name); CertStoreLocation = 'Cert:\LocalMachine\My' }
    # Server 2012 R2 makes one for a year and takes no more options.
    if ((Get-Command -Name New-SelfSignedCertificate).Parameters.ContainsKey('NotAfter')) {
        $options.NotAfter = (Get-Date).AddYears(3)
        $options.KeyLength = 3072
        $options.FriendlyName = $friendlyName
    }
    $certificate = New-SelfSignedCertificate @options
    $certificate.FriendlyName = $friendlyName
}

function Remove-ServerCertificate {
    foreach ($certificate in @(Get-ChildItem -Path 'Cert:\LocalMachine\My' | Where-Object { $_.FriendlyName -eq $friendlyName })) {
        Remove-Item -Path $certificate.PSPath -DeleteKey
    }
}

# Firewall

function Get-InboundRule([string]$Name) {
    $rule = Get-NetFirewallRule -Name $Name -ErrorAction SilentlyContinue
    if ($null -eq $rule) { return $null }
    $port = $rule | Get-NetFirewallPortFilter
    $address = $rule | Get-NetFirewallAddressFilter
    [pscustomobject]@{ Enabled = ([string]$rule.Enabled -eq 'True'); Ports = @($port.LocalPort); Addresses = @($address.RemoteAddress) }
}

# The names of other enabled rules that let anybody in to a port.
function Get-OpenRule([string]$Except, [string]$Port) {
    foreach ($filter in @(Get-NetFirewallPortFilter -Protocol TCP | Where-Object { @($_.LocalPort) -contains $Port })) {
        $rule = $filter | Get-NetFirewallRule
        $address = $rule | Get-NetFirewallAddressFilter
        $open = [string]$rule.Enabled -eq 'True' -and [string]$rule.Direction -eq 'Inbound' -and [string]$rule.Action -eq 'Allow'
        if ($open -and $rule.Name -ne $Except -and @($address.RemoteAddress) -contains 'Any') { $rule.DisplayName }
    }
}

function Set-InboundRule([string]$Name, [string]$Port, [string[]]$Addresses) {
    Remove-InboundRule $Name
    $null = New-NetFirewallRule -Name $Name -DisplayName 'Nightshift: WinRM over HTTPS' -Direction Inbound -Action Allow -Protocol TCP `
        -LocalPort $Port -RemoteAddress $Addresses
}

function Remove-InboundRule([string]$Name) {
    Get-NetFirewallRule -Name $Name -ErrorAction SilentlyContinue | Remove-NetFirewallRule
}

# Accounts and groups

# The account's SID; nothing if there is no such account.
function Get-AccountSid([string]$Account) {
    $name = $Account -replace '^\.\\', ([Environment]::MachineName + '\')
    try {
        (New-Object Security.Principal.NTAccount $name).Translate([Security.Principal.SecurityIdentifier]).Value
    } catch [Security.Principal.IdentityNotMappedException] {
        return
    }
}

# The SID of a group of this machine; nothing if it has none of that name (it may be one of the domain).
function Get-LocalGroupSid([string]$Group) {
    $parts = $Group.Split('\')
    if ($parts.Count -gt 1 -and @('.', [Environment]::MachineName) -notcontains $parts[0]) { return }
    $found = Get-LocalGroup -Name $parts[-1] -ErrorAction SilentlyContinue
    if ($null -ne $found) { $found.SID.Value }
}

# Direct members only. Get-LocalGroupMember fails on members that were deleted in the domain, hence ADSI.
function Test-GroupMember([string]$GroupSid, [string]$Sid) {
    $name = (New-Object Security.Principal.SecurityIdentifier $GroupSid).Translate([Security.Principal.NTAccount]).Value.Split('\')[-1]
    $group = [ADSI]('WinNT://' + [Environment]::MachineName + '/' + $name + ',group')
    foreach ($member in @($group.Invoke('Members'))) {
        $bytes = [byte[]]$member.GetType().InvokeMember('objectSid', 'GetProperty', $null, $member, $null)
        if ((New-Object Security.Principal.SecurityIdentifier ($bytes, 0)).Value -eq $Sid) { return $true }
    }
    $false
}

function Add-GroupMember([string]$GroupSid, [string]$Sid) {
    Add-LocalGroupMember -SID $GroupSid -Member $Sid
}

function Remove-GroupMember([string]$GroupSid, [string]$Sid) {
    Remove-LocalGroupMember -SID $GroupSid -Member $Sid
}

# Security descriptors as SDDL

# The rights that a descriptor grants to one SID; 0 if none.
function Get-GrantMask([string]$Sddl, [string]$Sid) {
    $mask = 0
    $descriptor = New-Object Security.AccessControl.RawSecurityDescriptor $Sddl
    foreach ($ace in $descriptor.DiscretionaryAcl) {
        if ($ace.AceType -eq 'AccessAllowed' -and $ace.SecurityIdentifier.Value -eq $Sid) { $mask = $mask -bor $ace.AccessMask }
    }
    $mask
}

# The same descriptor with these rights for the SID, instead of those it has.
function Get-SddlWith([string]$Sddl, [string]$Sid, [int]$Mask) {
    $descriptor = New-Object Security.AccessControl.CommonSecurityDescriptor $false, $false, $Sddl
    $account = New-Object Security.Principal.SecurityIdentifier $Sid
    $descriptor.DiscretionaryAcl.Purge($account)
    if ($Mask -ne 0) { $null = $descriptor.DiscretionaryAcl.AddAccess('Allow', $account, $Mask, 'None', 'None') }
    $descriptor.GetSddlForm('All')
}

# Registry, below HKEY_LOCAL_MACHINE. Not by its drive: names of values may hold characters that are wildcards there.

function Get-RegistryValue([string]$Key, [string]$Name) {
    $open = [Microsoft.Win32.Registry]::LocalMachine.OpenSubKey($Key)
    if ($null -ne $open) { $open.GetValue($Name) }
}

function Set-RegistryNumber([string]$Key, [string]$Name, [int]$Value) {
    [Microsoft.Win32.Registry]::SetValue("HKEY_LOCAL_MACHINE\$Key", $Name, $Value, [Microsoft.Win32.RegistryValueKind]::DWord)
}

function Remove-RegistryNumber([string]$Key, [string]$Name) {
    $open = [Microsoft.Win32.Registry]::LocalMachine.OpenSubKey($Key, $true)
    if ($null -ne $open) { $open.DeleteValue($Name, $false) }
}

# What was before our changes. In the registry, because only administrators can write there, and undoing trusts what it reads.

function Get-Record {
    $open = [Microsoft.Win32.Registry]::LocalMachine.OpenSubKey($records)
    if ($null -eq $open) { return }
    foreach ($name in $open.GetValueNames()) {
        $parts = $name.Split('|')
        [pscustomobject]@{ Name = $name; Kind = $parts[0]; Arguments = @($parts | Select-Object -Skip 1); Was = [string]$open.GetValue($name) }
    }
}

# Keeps the oldest: what a second run finds is our own doing.
function Save-Record([string]$Kind, [string]$Arguments, [string]$Was) {
    $name = $Kind + '|' + $Arguments
    if ($null -eq (Get-RegistryValue $records $name)) { [Microsoft.Win32.Registry]::SetValue("HKEY_LOCAL_MACHINE\$records", $name, $Was) }
}

function Remove-Record([string]$Name) {
    [Microsoft.Win32.Registry]::LocalMachine.OpenSubKey($records, $true).DeleteValue($Name, $false)
}

# Folders. The access of a folder is its DACL as SDDL; nothing if there is no such folder.

function Get-FolderAccess([string]$Path) {
    if (-not (Test-Path -LiteralPath $Path -PathType Container)) { return }
    [IO.Directory]::GetAccessControl($Path, 'Access').GetSecurityDescriptorSddlForm('Access')
}

function New-Folder([string]$Path) {
    $null = [IO.Directory]::CreateDirectory($Path)
}

# At no moment do others see into it.
function New-PrivateFolder([string]$Path, [string]$Access) {
    $security = New-Object Security.AccessControl.DirectorySecurity
    $security.SetSecurityDescriptorSddlForm($Access, 'Access')
    $null = [IO.Directory]::CreateDirectory($Path, $security)
}

function Add-FolderGrant([string]$Path, [string]$Sid, [string]$Rights) {
    $account = New-Object Security.Principal.SecurityIdentifier $Sid
    $rule = New-Object Security.AccessControl.FileSystemAccessRule ($account, $Rights, 'ContainerInherit, ObjectInherit', 'None', 'Allow')
    $security = [IO.Directory]::GetAccessControl($Path, 'Access')
    $security.AddAccessRule($rule)
    [IO.Directory]::SetAccessControl($Path, $security)
}

function Set-FolderAccess([string]$Path, [string]$Access) {
    $security = New-Object Security.AccessControl.DirectorySecurity
    $security.SetSecurityDescriptorSddlForm($Access, 'Access')
    [IO.Directory]::SetAccessControl($Path, $security)
}

function Remove-EmptyFolder([string]$Path) {
    if ((Test-Path -LiteralPath $Path) -and @(Get-ChildItem -LiteralPath $Path -Force).Count -eq 0) { Remove-Item -LiteralPath $Path }
}

# What else must be there

function Test-ModulePresent([string]$Name) {
    $null -ne (Get-Module -ListAvailable -Name $Name)
}

function Test-SnapInPresent([string]$Name) {
    $null -ne (Get-PSSnapin -Registered -Name $Name -ErrorAction SilentlyContinue)
}

# Asks without a proxy, as a WinRM session does. Any answer will do: it proves name, route, TLS and tells the time.
function Get-HttpsReply([string]$HostName) {
    [Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor 3072
    $request = [Net.WebRequest]::Create('https://' + $HostName + '/?comp=list')
    $request.Proxy = $null
    $request.Timeout = 15000
    $response = $null
    $trouble = ''
    try {
        $response = $request.GetResponse()
    } catch {
        $exception = $_.Exception
        while ($exception -isnot [Net.WebException] -and $null -ne $exception.InnerException) { $exception = $exception.InnerException }
        $trouble = $exception.Message
        if ($exception -is [Net.WebException]) { $response = $exception.Response }
    }
    if ($null -eq $response) { return [pscustomobject]@{ Status = 0; SkewSeconds = 0; Trouble = $trouble } }
    $skew = 0
    $date = $response.Headers['Date']
    if ($null -ne $date) {
        $there = [DateTime]::Parse($date, [Globalization.CultureInfo]::InvariantCulture).ToUniversalTime()
        $skew = [int]([DateTime]::UtcNow - $there).TotalSeconds
    }
    $status = [int]$response.StatusCode
    $response.Close()
    [pscustomobject]@{ Status = $status; SkewSeconds = $skew; Trouble = '' }
}

Export-ModuleMember -Function '*-*'
