package ftpd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// configure writes the daemon's files and returns the command that runs it. Passive ports are left to the kernel, so that
// daemons running side by side never meet.
func (s *Server) configure(port int) ([]string, error) {
	switch s.Kind {
	case PureFTPd:
		return s.configurePure(port)
	case VsFTPd:
		return s.configureVs(port)
	case ProFTPd:
		return s.configurePro(port)
	}
	return nil, fmt.Errorf("unknown daemon %q", s.Kind)
}

func (s *Server) configurePure(port int) ([]string, error) {
	line := fmt.Sprintf("%s:%s:%s:%s::%s/./::::::::::::\n", Username, passwordHash, uid, uid, s.Dir)
	if err := os.WriteFile(s.file("passwd"), []byte(line), 0o600); err != nil {
		return nil, err
	}
	mkdb := exec.Command(filepath.Join(s.program, "usr/bin/pure-pw"), "mkdb", s.file("passwd.pdb"), "-f", s.file("passwd"))
	mkdb.Env = append(os.Environ(), "LD_LIBRARY_PATH="+s.libraries())
	if out, err := mkdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("make the password database: %w: %s", err, out)
	}
	return []string{s.daemon(),
		"-S", fmt.Sprintf("127.0.0.1,%d", port),
		"-l", "puredb:" + s.file("passwd.pdb"),
		"-E", // no anonymous users
		"-A", // everyone is locked into his folder
		"-H", // no DNS
		"-P", "127.0.0.1",
		"-L", "100000:10", // files in one listing, depth
		"-Y", "1", // TLS offered
		"-2", s.file("both.pem"),
		"-g", s.file("pid"),
		"-C", "64", "-c", "64", // connections, by address and in all
	}, nil
}

const vsftpdConf = `listen=YES
listen_address=127.0.0.1
listen_port=%d
background=NO
anonymous_enable=NO
local_enable=YES
guest_enable=YES
guest_username=daemon
virtual_use_local_privs=YES
local_root=%s
chroot_local_user=YES
allow_writeable_chroot=YES
write_enable=YES
local_umask=022
pam_service_name=nightshift
secure_chroot_dir=%s
pasv_address=127.0.0.1
xferlog_enable=NO
vsftpd_log_file=%s
max_per_ip=64
max_clients=64
max_login_fails=1
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
ssl_enable=YES
rsa_cert_file=%s
rsa_private_key_file=%s
force_local_logins_ssl=NO
force_local_data_ssl=NO
require_ssl_reuse=YES
ssl_ciphers=HIGH
`

// configureVs gives vsftpd a PAM service of its own in a private mount namespace, so that /etc/pam.d stays as it is.
func (s *Server) configureVs(port int) ([]string, error) {
	for _, dir := range []string{"empty", "pam.d"} {
		if err := os.Mkdir(s.file(dir), 0o755); err != nil {
			return nil, err
		}
	}
	modules, err := filepath.Glob(filepath.Join(s.program, "lib/*/security/pam_pwdfile.so"))
	if err != nil || len(modules) != 1 {
		return nil, fmt.Errorf("find pam_pwdfile.so: %d there", len(modules))
	}
	err = s.write(map[string]string{
		"vsftpd.conf": fmt.Sprintf(vsftpdConf, port, s.Dir, s.file("empty"), s.file("log"), s.file("cert.pem"), s.file("key.pem")),
		"pwdfile":     Username + ":" + passwordHash + "\n",
		"pam.d/nightshift": fmt.Sprintf("auth required %s pwdfile %s\naccount required pam_permit.so\n",
			modules[0], s.file("pwdfile")),
	})
	return []string{"unshare", "--mount", "bash", "-c",
		`mount --bind "$1" /etc/pam.d && exec "$2" "$3"`, "vsftpd", s.file("pam.d"), s.daemon(), s.file("vsftpd.conf")}, err
}

// No TLSSessionCache: with mod_tls_shmcache, proftpd 1.3.8 crashes on resumed TLS 1.3 sessions.
const proftpdConf = `ModulePath %[1]s
LoadModule mod_tls.c
ServerName nightshift
ServerType standalone
DefaultAddress 127.0.0.1
SocketBindTight on
Port %[2]d
UseIPv6 off
UseReverseDNS off
User nobody
Group nogroup
MaxInstances 128
PidFile %[3]s/pid
ScoreboardFile %[3]s/score
DelayTable none
DelayEngine off
WtmpLog off
TransferLog none
SystemLog %[3]s/log
RequireValidShell off
AuthOrder mod_auth_file.c
AuthUserFile %[3]s/passwd
AuthPAM off
MaxLoginAttempts 1
MasqueradeAddress 127.0.0.1
DefaultRoot ~
AllowOverwrite on
AllowRetrieveRestart on
<Limit ALL>
 AllowAll
</Limit>
<IfModule mod_tls.c>
TLSEngine on
TLSLog %[3]s/tls.log
TLSProtocol TLSv1.2 TLSv1.3
TLSECCertificateFile %[3]s/cert.pem
TLSECCertificateKeyFile %[3]s/key.pem
TLSVerifyClient off
TLSRequired off
</IfModule>
`

func (s *Server) configurePro(port int) ([]string, error) {
	err := s.write(map[string]string{
		"proftpd.conf": fmt.Sprintf(proftpdConf, filepath.Join(s.program, "usr/lib/proftpd"), port, s.base),
		"passwd":       fmt.Sprintf("%s:%s:%s:%s::%s:/bin/sh\n", Username, passwordHash, uid, uid, s.Dir),
	})
	return []string{s.daemon(), "-n", "-q", "-c", s.file("proftpd.conf")}, err
}

func (s *Server) write(files map[string]string) error {
	for name, text := range files {
		if err := os.WriteFile(s.file(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) daemon() string { return filepath.Join(s.program, "usr", "sbin", string(s.Kind)) }

// libraries is where the libraries lie that were unpacked beside the daemon.
func (s *Server) libraries() string {
	var dirs []string
	for _, pattern := range []string{"usr/lib/*-linux-gnu", "lib/*-linux-gnu"} {
		found, _ := filepath.Glob(filepath.Join(s.program, pattern)) // the pattern is well-formed
		dirs = append(dirs, found...)
	}
	return strings.Join(dirs, ":")
}
