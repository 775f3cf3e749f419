<#
.SYNOPSIS
Looks what a backup of this server would find. It changes nothing.

.DESCRIPTION
Reads    the registry, installed modules and snap-ins, the backup folder's rights.
Writes   one empty file in the backup folder, or in the nearest folder above it that exists, and removes it.
Returns  computer, user, powershell, administrator, syncPath, lithnet, builtin, portal, root, folderError, freeBytes, agents,
         agentsError, and with a link egressError: '' where all is well.

Windows PowerShell 5.1. The functions under "Windows only" can be replaced by a module of the same names.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][string]$Root,
    [string]$Sas = '',
    [string]$Proxy = ''
)
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

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
if (-not (Get-Command Test-PortalTools -ErrorAction SilentlyContinue)) {
    function Test-PortalTools { return [bool](Get-PSSnapin -Registered -Name FIMAutomation -ErrorAction SilentlyContinue) }
}
if (-not (Get-Command Get-AgentCount -ErrorAction SilentlyContinue)) {
    function Get-AgentCount {
        return @(Get-WmiObject -Namespace 'root\MicrosoftIdentityIntegrationServer' -Class 'MIIS_ManagementAgent').Count
    }
}
if (-not (Get-Command Get-FreeBytes -ErrorAction SilentlyContinue)) {
    function Get-FreeBytes([string]$path) { return (New-Object IO.DriveInfo ([IO.Path]::GetPathRoot($path))).AvailableFreeSpace }
}
if (-not (Get-Command Test-Administrator -ErrorAction SilentlyContinue)) {
    function Test-Administrator {
        $principal = New-Object Security.Principal.WindowsPrincipal ([Security.Principal.WindowsIdentity]::GetCurrent())
        return $principal.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)
    }
}

# ---- what can fail says why

function Get-Problem([scriptblock]$work) {
    try { $null = & $work; return '' } catch { return [string]$_.Exception.Message }
}

function Test-Folder {
    $folder = $Root
    while ($folder -and -not (Test-Path -LiteralPath $folder)) { $folder = [IO.Path]::GetDirectoryName($folder) }
    if (-not $folder) { throw "there is no drive for $Root" }
    $file = Join-Path $folder ('nightshift-' + [Guid]::NewGuid().ToString('N') + '.tmp')
    [IO.File]::WriteAllText($file, '')
    Remove-Item -LiteralPath $file -Force
}

function Test-Egress {
    $request = [Net.HttpWebRequest]::Create($Sas)
    $request.Method = 'PUT'
    $request.Timeout = 15000
    $request.ContentLength = 0
    $request.Proxy = $null
    if ($Proxy -ne '') { $request.Proxy = New-Object Net.WebProxy $Proxy }
    $request.Headers['x-ms-version'] = '2021-12-02'
    $request.Headers['x-ms-blob-type'] = 'BlockBlob'
    $request.GetResponse().Close()
}

[Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor 3072
$found = @{
    computer = [Environment]::MachineName; user = [Environment]::UserDomainName + '\' + [Environment]::UserName
    powershell = $PSVersionTable.PSVersion.ToString(); administrator = [bool](Test-Administrator)
    syncPath = [string](Get-SyncServicePath); lithnet = [bool](Test-Lithnet); portal = [bool](Test-PortalTools)
    builtin = $false; root = $Root; folderError = ''; freeBytes = [long]0; agents = 0; agentsError = ''; egressError = ''
}
if ($found.syncPath -ne '') {
    $found.builtin = Test-Path -LiteralPath (Join-Path $found.syncPath 'Bin\svrexport.exe')
    try { $found.agents = [int](Get-AgentCount) } catch { $found.agentsError = [string]$_.Exception.Message }
}
$found.folderError = Get-Problem { Test-Folder }
if ($found.folderError -eq '') { $found.freeBytes = [long](Get-FreeBytes $Root) }
if ($Sas -ne '') { $found.egressError = Get-Problem { Test-Egress } }
$found
