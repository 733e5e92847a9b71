#!/bin/sh
# Serves /srv/ocrd/inbox to one user, `scanner`, who writes as the owner of the scans.
set -eu
: "${SCANNER_PASSWORD:?set SCANNER_PASSWORD}"
id scanner >/dev/null 2>&1 || useradd --no-create-home --non-unique --uid "$SCANNER_UID" scanner
printf '%s\n%s\n' "$SCANNER_PASSWORD" "$SCANNER_PASSWORD" | smbpasswd -s -a scanner
cat >/etc/samba/smb.conf <<'CONF'
[global]
server role = standalone server
disable netbios = yes
load printers = no
min protocol = SMB2
[inbox]
path = /srv/ocrd/inbox
valid users = scanner
read only = no
create mask = 0660
directory mask = 2770
CONF
exec smbd --foreground --no-process-group --debug-stdout
