"""Passwords where configurations, command lines and statements have them, and their hashes."""

from __future__ import annotations

import string
from random import Random
from urllib.parse import quote

from tests.masking.quality.samples import (
    LETTERS_AND_DIGITS,
    Kind,
    base64_of,
    draw,
    encoded,
    hexadecimal,
    host,
    password,
    plain_password,
    word,
)

_CRYPT = LETTERS_AND_DIGITS + "./"
_LIBPQ = "https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING"
_MYSQL_CLI = "https://dev.mysql.com/doc/refman/8.4/en/password-security-user.html"
_CRYPT_5 = "https://man7.org/linux/man-pages/man5/crypt.5.html"
_SECRETS = "https://kubernetes.io/docs/concepts/configuration/secret/"
_PHC = "https://github.com/P-H-C/phc-string-format/blob/master/phc-sf-spec.md"

PASSWORD = "PASSWORD"
URI = "URI_CREDENTIALS"
HASH = "PASSWORD_HASH"


def _in_url(random: Random) -> str:
    return quote(password(random), safe="")


def _bcrypt(random: Random) -> str:
    return f"$2{random.choice('aby')}${random.randint(10, 12)}${draw(random, _CRYPT, 53)}"


def _scram(random: Random) -> str:
    salt, stored, server = base64_of(random, 16), base64_of(random, 32), base64_of(random, 32)
    return f"SCRAM-SHA-256$4096:{salt}${stored}:{server}"


def _argon2(random: Random) -> str:
    return (
        f"$argon2id$v=19$m=65536,t=3,p=4${base64_of(random, 16).rstrip('=')}"
        f"${base64_of(random, 32).rstrip('=')}"
    )


KINDS = (
    Kind("PostgreSQL URI", URI, _LIBPQ,
         lambda r: f"postgresql://{word(r)}:⟦{_in_url(r)}⟧@{host(r)}:5432/{word(r)}?sslmode=require"),
    Kind("MySQL URI", URI, "https://dev.mysql.com/doc/refman/8.4/en/connecting-using-uri-or-key-value-pairs.html",
         lambda r: f"DATABASE_URL=mysql://{word(r)}:⟦{_in_url(r)}⟧@{host(r)}/{word(r)}"),
    Kind("MongoDB URI", URI, "https://www.mongodb.com/docs/manual/reference/connection-string/",
         lambda r: f"mongodb+srv://{word(r)}:⟦{_in_url(r)}⟧@{host(r)}/?retryWrites=true"),
    Kind("Redis URI", URI, "https://www.iana.org/assignments/uri-schemes/prov/redis",
         lambda r: f"redis://:⟦{_in_url(r)}⟧@{host(r)}:6379/0"),
    Kind("AMQP URI", URI, "https://www.rabbitmq.com/docs/uri-spec",
         lambda r: f"amqps://{word(r)}:⟦{_in_url(r)}⟧@{host(r)}/vhost"),
    Kind("HTTPS remote", URI, "https://git-scm.com/docs/git-remote",
         lambda r: f"origin\thttps://{word(r)}:⟦{plain_password(r)}⟧@git.example.com/x.git (fetch)"),
    Kind("libpq keywords", PASSWORD, _LIBPQ,
         lambda r: f"host={host(r)} user={word(r)} password=⟦{plain_password(r)}⟧ dbname={word(r)}"),
    Kind("libpq keywords in quotes", PASSWORD, _LIBPQ,
         lambda r: f"host={host(r)} password='⟦{word(r)} {plain_password(r)}⟧' dbname={word(r)}"),
    Kind("JDBC", PASSWORD, "https://jdbc.postgresql.org/documentation/use/",
         lambda r: f"jdbc:postgresql://{host(r)}/{word(r)}?user={word(r)}&password=⟦{plain_password(r)}⟧&ssl=true"),
    Kind("ADO.NET", PASSWORD,
         "https://learn.microsoft.com/dotnet/framework/data/adonet/connection-string-syntax",
         lambda r: f"Server={host(r)};Database={word(r)};User Id={word(r)};Password=⟦{plain_password(r)}⟧;"),
    Kind("ODBC", PASSWORD, "https://learn.microsoft.com/sql/odbc/reference/syntax/sqldriverconnect-function",
         lambda r: f"Driver={{ODBC Driver 18 for SQL Server}};Server={host(r)};Uid={word(r)};Pwd=⟦{plain_password(r)}⟧;"),
    Kind("environment", PASSWORD, "https://12factor.net/config",
         lambda r: f"{word(r).upper()}_DB_PASSWORD=⟦{password(r)}⟧"),
    Kind("environment secret", PASSWORD, "https://12factor.net/config",
         lambda r: f"{word(r).upper()}_CLIENT_SECRET=⟦{draw(r, LETTERS_AND_DIGITS, 40)}⟧"),
    Kind("PGPASSWORD", PASSWORD, "https://www.postgresql.org/docs/current/libpq-envars.html",
         lambda r: f"PGPASSWORD=⟦{plain_password(r)}⟧ psql -h {host(r)} -U {word(r)}"),
    Kind("YAML", PASSWORD, "https://yaml.org/spec/1.2.2/",
         lambda r: f"database:\n  username: {word(r)}\n  password: ⟦{plain_password(r)}⟧\n  pool: 5"),
    Kind("JSON", PASSWORD, "https://www.rfc-editor.org/rfc/rfc8259",
         lambda r: f'{{"user": "{word(r)}", "password": "⟦{password(r)}⟧"}}'),
    Kind("JSON in camel case", PASSWORD, "https://www.rfc-editor.org/rfc/rfc8259",
         lambda r: f'{{"dbPassword":"⟦{password(r)}⟧","clientSecret":"⟦{plain_password(r)}⟧"}}'),
    Kind("properties", PASSWORD, "https://docs.spring.io/spring-boot/reference/data/sql.html",
         lambda r: f"spring.datasource.username={word(r)}\nspring.datasource.password=⟦{plain_password(r)}⟧"),
    Kind("TOML", PASSWORD, "https://toml.io/en/v1.0.0",
         lambda r: f'[database]\npassword = "⟦{password(r)}⟧"'),
    Kind("XML element", PASSWORD, "https://maven.apache.org/settings.html#servers",
         lambda r: f"<server><id>{word(r)}</id><password>⟦{plain_password(r)}⟧</password></server>"),
    Kind("XML attribute", PASSWORD, "https://tomcat.apache.org/tomcat-11.0-doc/jndi-datasource-examples-howto.html",
         lambda r: f'<Resource name="jdbc/{word(r)}" username="{word(r)}" password="⟦{plain_password(r)}⟧"/>'),
    Kind("Ruby hash", PASSWORD, "https://guides.rubyonrails.org/configuring.html",
         lambda r: f':username => "{word(r)}", :password => "⟦{plain_password(r)}⟧"'),
    Kind("log line", PASSWORD, "https://cwe.mitre.org/data/definitions/532.html",
         lambda r: f"DEBUG connecting user={word(r)} password=⟦{plain_password(r)}⟧ attempt=1"),
    Kind("form body", PASSWORD, "https://url.spec.whatwg.org/#application/x-www-form-urlencoded",
         lambda r: f"grant_type=password&username={word(r)}&password=⟦{_in_url(r)}⟧&scope=read"),
    Kind("OAuth answer", PASSWORD, "https://www.rfc-editor.org/rfc/rfc6749#section-5.1",
         lambda r: f'{{"access_token":"⟦{base64_of(r, 24)}⟧","token_type":"bearer","refresh_token":"⟦{plain_password(r)}⟧"}}'),
    Kind("mysql -p", PASSWORD, _MYSQL_CLI,
         lambda r: f"mysql -h {host(r)} -u root -p⟦{plain_password(r)}⟧ {word(r)}"),
    Kind("mysql --password", PASSWORD, _MYSQL_CLI,
         lambda r: f"mysqldump --user=root --password=⟦{plain_password(r)}⟧ {word(r)}"),
    Kind("option file", PASSWORD, "https://dev.mysql.com/doc/refman/8.4/en/option-files.html",
         lambda r: f"[client]\nuser={word(r)}\npassword=⟦{plain_password(r)}⟧"),
    Kind("redis-cli", PASSWORD, "https://redis.io/docs/latest/develop/tools/cli/",
         lambda r: f"redis-cli -h {host(r)} -a ⟦{plain_password(r)}⟧ ping"),
    Kind("sshpass", PASSWORD, "https://man.archlinux.org/man/sshpass.1",
         lambda r: f"sshpass -p ⟦{plain_password(r)}⟧ ssh root@10.0.0.7"),
    Kind("curl user", PASSWORD, "https://curl.se/docs/manpage.html#-u",
         lambda r: f"curl -u {word(r)}:⟦{plain_password(r)}⟧ https://{host(r)}/"),
    Kind("docker login", PASSWORD, "https://docs.docker.com/reference/cli/docker/login/",
         lambda r: f"docker login -u {word(r)} -p ⟦{plain_password(r)}⟧ registry.example.com"),
    Kind("netrc", PASSWORD, "https://www.gnu.org/software/inetutils/manual/html_node/The-_002enetrc-file.html",
         lambda r: f"machine {host(r)} login {word(r)} password ⟦{plain_password(r)}⟧"),
    Kind("pgpass", PASSWORD, "https://www.postgresql.org/docs/current/libpq-pgpass.html",
         lambda r: f"{host(r)}:5432:{word(r)}:{word(r)}:⟦{plain_password(r)}⟧"),
    Kind("ALTER ROLE", PASSWORD, "https://www.postgresql.org/docs/current/sql-alterrole.html",
         lambda r: f"ALTER ROLE {word(r)} WITH LOGIN PASSWORD '⟦{password(r)}⟧';"),
    Kind("IDENTIFIED BY", PASSWORD, "https://dev.mysql.com/doc/refman/8.4/en/create-user.html",
         lambda r: f"CREATE USER '{word(r)}'@'%' IDENTIFIED BY '⟦{password(r)}⟧'"),
    Kind("Secret in YAML", PASSWORD, _SECRETS,
         lambda r: "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ntype: Opaque\ndata:\n"
                   f"  username: ⟦{encoded(word(r))}⟧\n  password: ⟦{encoded(password(r))}⟧\n"),
    Kind("Secret with other keys", PASSWORD, _SECRETS,
         lambda r: "kind: Secret\napiVersion: v1\ndata:\n"
                   f"  {word(r)}.conf: ⟦{base64_of(r, 33)}⟧\n  {word(r)}: ⟦{base64_of(r, 24)}⟧\nmetadata:\n  name: x"),
    Kind("Secret in JSON", PASSWORD, _SECRETS,
         lambda r: f'{{"apiVersion":"v1","data":{{"{word(r)}":"⟦{base64_of(r, 24)}⟧"}},"kind":"Secret","metadata":{{"name":"x"}}}}'),
    Kind("stringData", PASSWORD, _SECRETS,
         lambda r: f"kind: Secret\nstringData:\n  {word(r)}: ⟦{plain_password(r)}⟧\n"),
    Kind("docker config", PASSWORD, "https://docs.docker.com/reference/cli/docker/login/#credential-stores",
         lambda r: '{"auths": {"registry.example.com": {"auth": "⟦' + encoded(word(r) + ":" + password(r)) + '⟧"}}}'),
    Kind("pull secret", PASSWORD, "https://kubernetes.io/docs/tasks/configure-pod-container/pull-image-private-registry/",
         lambda r: "kind: Secret\ntype: kubernetes.io/dockerconfigjson\ndata:\n  .dockerconfigjson: ⟦"
                   + encoded('{"auths":{"https://index.docker.io/v1/":{"auth":"' + encoded(password(r)) + '"}}}') + "⟧"),
    Kind("terraform output", PASSWORD, "https://developer.hashicorp.com/terraform/cli/commands/output",
         lambda r: '{"db_password": {"sensitive": true, "type": "string", "value": "⟦' + password(r) + '⟧"}}'),
    Kind("bcrypt", HASH, _CRYPT_5, lambda r: f"⟦{_bcrypt(r)}⟧"),
    Kind("htpasswd", HASH, "https://httpd.apache.org/docs/2.4/misc/password_encryptions.html",
         lambda r: f"{word(r)}:⟦$apr1${draw(r, _CRYPT, 8)}${draw(r, _CRYPT, 22)}⟧"),
    Kind("htpasswd SHA", HASH, "https://httpd.apache.org/docs/2.4/misc/password_encryptions.html",
         lambda r: f"{word(r)}:⟦{{SHA}}{base64_of(r, 20)}⟧"),
    Kind("shadow SHA-512", HASH, _CRYPT_5,
         lambda r: f"{word(r)}:⟦$6${draw(r, _CRYPT, 16)}${draw(r, _CRYPT, 86)}⟧:19700:0:99999:7:::"),
    Kind("shadow SHA-256 with rounds", HASH, _CRYPT_5,
         lambda r: f"root:⟦$5$rounds=5000${draw(r, _CRYPT, 16)}${draw(r, _CRYPT, 43)}⟧:19700:0:99999:7:::"),
    Kind("shadow yescrypt", HASH, _CRYPT_5,
         lambda r: f"{word(r)}:⟦$y$j9T${draw(r, _CRYPT, 22)}${draw(r, _CRYPT, 43)}⟧:19700:0:99999:7:::"),
    Kind("MD5 crypt", HASH, _CRYPT_5, lambda r: f"⟦$1${draw(r, _CRYPT, 8)}${draw(r, _CRYPT, 22)}⟧"),
    Kind("Argon2", HASH, _PHC, lambda r: f"⟦{_argon2(r)}⟧"),
    Kind("PBKDF2 PHC", HASH, "https://passlib.readthedocs.io/en/stable/lib/passlib.hash.pbkdf2_digest.html",
         lambda r: f"⟦$pbkdf2-sha256$29000${draw(r, _CRYPT, 22)}${draw(r, _CRYPT, 43)}⟧"),
    Kind("scrypt PHC", HASH, "https://passlib.readthedocs.io/en/stable/lib/passlib.hash.scrypt.html",
         lambda r: f"⟦$scrypt$ln=16,r=8,p=1${draw(r, _CRYPT, 22)}${draw(r, _CRYPT, 43)}⟧"),
    Kind("SCRAM of PostgreSQL", HASH, "https://www.postgresql.org/docs/current/catalog-pg-authid.html",
         lambda r: f"{word(r)}|⟦{_scram(r)}⟧|"),
    Kind("MD5 of PostgreSQL", HASH, "https://www.postgresql.org/docs/current/catalog-pg-authid.html",
         lambda r: f"⟦md5{hexadecimal(r, 32)}⟧"),
    Kind("mysql_native_password", HASH,
         "https://dev.mysql.com/doc/refman/8.4/en/native-pluggable-authentication.html",
         lambda r: f"⟦*{hexadecimal(r, 40).upper()}⟧"),
    Kind("caching_sha2_password", HASH,
         "https://dev.mysql.com/doc/refman/8.4/en/caching-sha2-pluggable-authentication.html",
         lambda r: f"⟦$A$005${draw(r, string.ascii_letters, 20)}{draw(r, _CRYPT, 43)}⟧"),
    Kind("Django", HASH, "https://docs.djangoproject.com/en/5.2/topics/auth/passwords/",
         lambda r: f"⟦pbkdf2_sha256$1000000${draw(r, LETTERS_AND_DIGITS, 22)}${base64_of(r, 32)}⟧"),
    Kind("Werkzeug", HASH, "https://werkzeug.palletsprojects.com/en/stable/utils/#werkzeug.security.generate_password_hash",
         lambda r: f"⟦scrypt:32768:8:1${draw(r, LETTERS_AND_DIGITS, 16)}${hexadecimal(r, 128)}⟧"),
    Kind("LDAP SSHA", HASH, "https://www.openldap.org/doc/admin26/security.html#Password%20Storage",
         lambda r: f"userPassword: ⟦{{SSHA}}{base64_of(r, 28)}⟧"),
    Kind("WordPress", HASH, "https://www.openwall.com/phpass/",
         lambda r: f"⟦$P$B{draw(r, _CRYPT, 30)}⟧"),
    Kind("Drupal", HASH, "https://passlib.readthedocs.io/en/stable/modular_crypt_format.html",
         lambda r: f"⟦$S$D{draw(r, _CRYPT, 51)}⟧"),
    Kind("SQL Server", HASH, "https://learn.microsoft.com/sql/t-sql/functions/pwdencrypt-transact-sql",
         lambda r: f"⟦0x0200{hexadecimal(r, 136).upper()}⟧"),
    Kind("Redis ACL", HASH, "https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/",
         lambda r: f"user {word(r)} on ⟦#{hexadecimal(r, 64)}⟧ ~* +@all"),
    Kind("NTLM dump", HASH, "https://learn.microsoft.com/windows-server/security/kerberos/passwords-technical-overview",
         lambda r: f"{word(r)}:1001:⟦{hexadecimal(r, 32)}:{hexadecimal(r, 32)}⟧:::"),
)  # fmt: skip
