-- The state file of asterguard 0.1.0 after three lines of $DIR/messages, as sqlite3's .dump has it.
BEGIN TRANSACTION;
CREATE TABLE bans (
        id INTEGER PRIMARY KEY,
        host TEXT NOT NULL,
        jail TEXT NOT NULL,
        nft_set TEXT NOT NULL,
        address TEXT NOT NULL,
        since INTEGER NOT NULL,
        until INTEGER,
        attempts INTEGER NOT NULL,
        evidence TEXT NOT NULL,
        rule TEXT,
        line INTEGER,
        ended INTEGER,
        how TEXT
    );
CREATE TABLE notes (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
INSERT INTO notes VALUES('known_good','0');
INSERT INTO notes VALUES('logins','{"sample":10931035616928810379,"hosts":[]}');
INSERT INTO notes VALUES('rules','["asterisk-ami/unknown-user","asterisk-ami/failed-to-authenticate","asterisk-ami/http-login-acl","asterisk-ami/http-acl","asterisk-ami/websocket-probe","asterisk-ami/oversized-line","asterisk-ami/login-acl","asterisk-ami/our-side","asterisk-dialplan/refused","asterisk-dialplan/freepbx-refused","asterisk-dialplan/freepbx-scanner","asterisk-iax/wrong-password","asterisk-iax/unknown-peer","asterisk-iax/no-matching-user","asterisk-iax/no-call-token","asterisk-iax/too-new-protocol","asterisk-iax/peer-acl","asterisk-iax/malformed-frame","asterisk-iax/trunk-trouble","asterisk-iax/our-own-request","asterisk-other/mgcp-garbage","asterisk-other/h323-acl","asterisk-other/h323-stranger","asterisk-other/not-an-attack","asterisk-pjsip/no-matching-endpoint","asterisk-pjsip/failed-to-authenticate","asterisk-pjsip/endpoint-contact-acl","asterisk-pjsip/error-to-authenticate","asterisk-pjsip/acl","asterisk-pjsip/acl-echo","asterisk-pjsip/unknown-extension","asterisk-pjsip/broken-extension","asterisk-pjsip/anonymous-register","asterisk-pjsip/anonymous-odd-uri","asterisk-pjsip/unparsable-packet","asterisk-pjsip/missing-header","asterisk-pjsip/misdial","asterisk-pjsip/phone-trouble","asterisk-pjsip/tls-handshake","asterisk-security/pjsip-unknown-account","asterisk-security/pjsip-auth-failed","asterisk-security/pjsip-acl","asterisk-security/pjsip-anonymous-register","asterisk-security/pjsip-anonymous-odd-uri","asterisk-security/pjsip-login","asterisk-security/pjsip-phone-trouble","asterisk-security/pjsip-challenge","asterisk-security/ami-unknown-user","asterisk-security/ami-wrong-secret","asterisk-security/ami-acl","asterisk-security/ami-no-login","asterisk-security/ami-garbage","asterisk-security/ami-client","asterisk-security/ami-login","asterisk-security/limits","asterisk-security/sip-wrong-password","asterisk-security/sip-unknown-account","asterisk-security/sip-acl","asterisk-security/sip-foreign-domain","asterisk-security/sip-login","asterisk-security/sip-phone-trouble","asterisk-sip/wrong-password","asterisk-sip/auth-name-mismatch","asterisk-sip/no-matching-peer","asterisk-sip/not-a-local-domain","asterisk-sip/unknown-extension","asterisk-sip/broken-extension","asterisk-sip/invalid-to-address","asterisk-sip/oversized-packet","asterisk-sip/hacking-attempt","asterisk-sip/peer-acl","asterisk-sip/peer-acl-echo","asterisk-sip/not-supposed-to-register","asterisk-sip/our-configuration","asterisk-sip/misdial","asterisk-sip/transfer","asterisk-sip/via-address","asterisk-sip/claimed-address","asterisk-sip/claimed-from","asterisk-sip/our-own-request","kernel-firewall/sip-rate","kernel-firewall/refused","wire/refused","wire/registered"]');
INSERT INTO notes VALUES('saved',1795896268344);
CREATE TABLE logs (
        path BLOB PRIMARY KEY,
        channel INTEGER NOT NULL,
        position TEXT,
        context TEXT,
        read_at INTEGER NOT NULL
    ) WITHOUT ROWID;
INSERT INTO logs VALUES(CAST('$DIR/messages' AS BLOB),0,'{"dev":65024,"ino":10518726,"offset":432,"fingerprint":[91,78,111,118,32,50,50,32,48,49,58,49,50,58,50,52,93,32,78,79,84,73,67,69,91,49,55,57,51,49,93,32,99,104,97,110,95,115,105,112,46,99,58,32,82,101,103,105,115,116,114,97,116,105,111,110,32,102,114,111,109,32,39,34,49,48,48,48,34,32,60,115,105,112,58,49,48,48,48,64,50,48,51,46,48,46,49,49,51,46,49,54,62,39,32,102,97,105,108,101,100,32,102,111,114,32,39,49,57,56,46,53,49,46,49,48,48,46,49,52,58,53,48,54,48,39,32,45,32,87,114,111,110,103,32,112,97,115,115,119,111,114,100,10,91,78,111,118,32,50,50,32,48,49,58,49,50,58,50,52,93,32,78,79,84,73,67,69,91,49,55,57,51,49,93,32,99,104,97,110,95,115,105,112,46,99,58,32,82,101,103,105,115,116,114,97,116,105,111,110,32,102,114,111,109,32,39,34,49,48,48,48,34,32,60,115,105,112,58,49,48,48,48,64,50,48,51,46,48,46,49,49,51,46,49,54,62,39,32,102,97,105,108,101,100,32,102,111,114,32,39,49,57,56,46,53],"before":[99,104,97,110,95,115,105,112,46,99,58,32,82,101,103,105,115,116,114,97,116,105,111,110,32,102,114,111,109,32,39,34,49,48,48,48,34,32,60,115,105,112,58,49,48,48,48,64,50,48,51,46,48,46,49,49,51,46,49,54,62,39,32,102,97,105,108,101,100,32,102,111,114,32,39,49,57,56,46,53,49,46,49,48,48,46,49,52,58,53,48,54,48,39,32,45,32,87,114,111,110,103,32,112,97,115,115,119,111,114,100,10,91,78,111,118,32,50,50,32,48,49,58,49,50,58,50,52,93,32,78,79,84,73,67,69,91,49,55,57,51,49,93,32,99,104,97,110,95,115,105,112,46,99,58,32,82,101,103,105,115,116,114,97,116,105,111,110,32,102,114,111,109,32,39,34,49,48,48,48,34,32,60,115,105,112,58,49,48,48,48,64,50,48,51,46,48,46,49,49,51,46,49,54,62,39,32,102,97,105,108,101,100,32,102,111,114,32,39,49,57,56,46,53,49,46,49,48,48,46,49,52,58,53,48,54,48,39,32,45,32,87,114,111,110,103,32,112,97,115,115,119,111,114,100,10]}','{"base":432,"doubts":[{"until":0,"sender":null},{"until":0,"sender":null},{"until":0,"sender":null},{"until":0,"sender":null}],"looked_at":0,"free_text":false}',1795896268344);
CREATE TABLE counters (
        name TEXT PRIMARY KEY,
        maxretry INTEGER NOT NULL,
        findtime INTEGER NOT NULL,
        ipv6prefix INTEGER NOT NULL,
        entries INTEGER NOT NULL
    ) WITHOUT ROWID;
INSERT INTO counters VALUES('asterisk-guess',5,600,64,1);
CREATE TABLE offences (
        name TEXT NOT NULL,
        page INTEGER NOT NULL,
        entries BLOB NOT NULL,
        PRIMARY KEY (name, page)
    );
INSERT INTO offences VALUES('asterisk-guess',0,X'002000000000000000000000ffffc633640ecb330b6b00003d0000cb330b6b0303070000000000000000000000cb330b6bcb330b6bcb330b6b0000000000000000');
CREATE UNIQUE INDEX in_force ON bans (host, jail, nft_set) WHERE ended IS NULL;
CREATE INDEX past ON bans (ended) WHERE ended IS NOT NULL;
CREATE INDEX by_host ON bans (host, since);
COMMIT;
PRAGMA application_id = 1095193156;
PRAGMA user_version = 1;
