# Runs one script that comes as data. Constant: what it runs, and with what, stands in standard input, so nothing has to be quoted,
# nothing secret is seen in a command line, and nothing is cut off.
#
# Reads   one line from standard input: base64 of gzip of UTF-8 JSON
#         {"version":1,"nonce":"<hex>","name":"x.ps1","sha256":"<hex of script>","script":"...","params":{...}}.
# Writes  lines "##<nonce>:<base64 of ASCII JSON>" to standard output: events of the script, then its one result or error.
# Exits   0 with a result, 20 with an error, 30 if there was nothing to run.
#
# Gives the script  Send-Event @{ type = 'progress'; step = ''; message = ''; done = 1; total = 2 }
#                   Send-Event @{ type = 'log'; level = 'warning'; message = '' }
#                   Stop-Script 'disk-full' 'message'    an error whose id the caller can tell from others
#
# Windows PowerShell 5.1. Comments and indentation do not travel. The automatic variable for pipeline data must not stand here,
# not even in dead code: the host would read standard input for it.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$NsNonce = ''
function Send-Event($NsEvent) {
    $NsJson = ConvertTo-Json -InputObject $NsEvent -Compress -Depth 32
    $NsJson = [regex]::Replace($NsJson, '[^\x20-\x7e]', { param($m) '\u{0:x4}' -f [int][char]$m.Value })
    [Console]::Out.WriteLine('##' + $NsNonce + ':' + [Convert]::ToBase64String([Text.Encoding]::ASCII.GetBytes($NsJson)))
}
function Stop-Script([string]$NsId, [string]$NsText) {
    throw (New-Object Management.Automation.ErrorRecord (New-Object InvalidOperationException $NsText), $NsId, 'NotSpecified', $null)
}
function Send-Failure($NsError, $NsCode) {
    Send-Event @{ type = 'error'; message = [string]$NsError.Exception.Message; errorType = $NsError.Exception.GetType().FullName
        line = [int]$NsError.InvocationInfo.ScriptLineNumber; file = [string]$NsError.InvocationInfo.ScriptName
        stack = [string]$NsError.ScriptStackTrace; id = [string]$NsError.FullyQualifiedErrorId }
    exit $NsCode
}
try {
    $NsUtf8 = New-Object Text.UTF8Encoding $false
    $NsReader = New-Object IO.StreamReader ([Console]::OpenStandardInput()), $NsUtf8
    $NsBytes = [Convert]::FromBase64String($NsReader.ReadLine())
    $NsZip = New-Object IO.Compression.GZipStream (New-Object IO.MemoryStream (, $NsBytes)), ([IO.Compression.CompressionMode]::Decompress)
    $NsTask = ConvertFrom-Json -InputObject (New-Object IO.StreamReader $NsZip, $NsUtf8).ReadToEnd()
    $NsNonce = $NsTask.nonce
    $NsHash = [Security.Cryptography.SHA256]::Create().ComputeHash($NsUtf8.GetBytes($NsTask.script))
    if ([BitConverter]::ToString($NsHash).Replace('-', '') -ne $NsTask.sha256) { Stop-Script 'bad-hash' 'The script arrived changed.' }
    $NsErrors = $null
    $NsTree = [Management.Automation.Language.Parser]::ParseInput($NsTask.script, $NsTask.name, [ref]$null, [ref]$NsErrors)
    if ($NsErrors) {
        Send-Event @{ type = 'error'; id = 'syntax'; message = $NsErrors[0].Message; errorType = 'ParseException'
            line = $NsErrors[0].Extent.StartLineNumber; file = $NsTask.name; stack = '' }
        exit 30
    }
    $NsParams = @{}
    foreach ($NsP in $NsTask.params.PSObject.Properties) { $NsParams[$NsP.Name] = $NsP.Value }
    [Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor 3072
} catch {
    Send-Failure $_ 30
}
try {
    $NsBlock = $NsTree.GetScriptBlock()
    $NsResult = @(& $NsBlock @NsParams)
    if ($NsResult.Count -eq 0) { Stop-Script 'no-result' 'The script returned nothing.' }
    Send-Event @{ type = 'result'; result = $NsResult[-1]; extra = $NsResult.Count - 1 }
} catch {
    Send-Failure $_ 20
}
exit 0
