# An independent client: runs one command and prints its exit code and output.
# usage: pywinrm.py <url> <transport> <user> <password> <ca file or -> <command> <argument>...
import sys

import winrm.protocol

url, transport, user, password, ca, command = sys.argv[1:7]
p = winrm.protocol.Protocol(
    endpoint=url, transport=transport, username=user, password=password,
    ca_trust_path=None if ca == "-" else ca,
    message_encryption="always" if url.startswith("http:") and transport == "ntlm" else "auto",
    operation_timeout_sec=20, read_timeout_sec=60)
shell = p.open_shell()
try:
    run = p.run_command(shell, command, sys.argv[7:])
    out, err, code = p.get_command_output(shell, run)
    p.cleanup_command(shell, run)
finally:
    p.close_shell(shell)
sys.stdout.write("%d\n%s\n%s" % (code, out.decode(), err.decode()))
