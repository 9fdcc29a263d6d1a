#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/access/jwt.h"
#include "tests/base64url.h"

#define AT_ONCE                                                                                    \
    &(struct jwt_check)                                                                            \
    {                                                                                              \
        .budget = &unlimited                                                                       \
    }

static struct jwt_budget unlimited = {.units_left = INT64_MAX};

#define NOW 1800000000
#define BEGIN "-----BEGIN PUBLIC KEY-----\n"
#define END "-----END PUBLIC KEY-----\n"
#define ED25519_BASE64 "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
#define ED25519_X "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" /* RFC 8037, appendix A.1 */
#define ED25519 BEGIN ED25519_BASE64 "\n" END
#define ED25519_OTHER BEGIN "MCowBQYDK2VwAyEAWBJfXxfpXzRwahjDR2AdPnuVP8Ks3RYtjqly4cIpnTY=\n" END
#define EC                                                                                         \
    BEGIN "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEcPk9wbjr5T9uKehAMeJ9nqM301up\n"                     \
          "tNrLbk4qwWDXtcMH9Rjcbvit/vYLAjK5LkgtyKZRUHkDlIW1mQwzvwJWCA==\n" END
#define RSA_BODY                                                                                   \
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDXUffa5MgZBE28IKfkODOgOGdA\n"                           \
    "ht2h3MsPMu/7POaKAVi7dgFWw4SZIpbNpftLngber7MkcTfxaCwiwmzj1RfxYCXo\n"                           \
    "aMZkZdaG4g/NiJX3VBIy2U2i+Rnwi4svlwlD0I9KQrSLmLPerLhRZ8mg2RFA3S+s\n"                           \
    "0lZ8Bi6SXCMI1KwQPwIDAQAB\n"
#define PKCS1                                                                                      \
    "-----BEGIN RSA PUBLIC KEY-----\n"                                                             \
    "MIGJAoGBANdR99rkyBkETbwgp+Q4M6A4Z0CG3aHcyw8y7/s85ooBWLt2AVbDhJki\n"                           \
    "ls2l+0ueBt6vsyRxN/FoLCLCbOPVF/FgJehoxmRl1obiD82IlfdUEjLZTaL5GfCL\n"                           \
    "iy+XCUPQj0pCtIuYs96suFFnyaDZEUDdL6zSVnwGLpJcIwjUrBA/AgMBAAE=\n"                               \
    "-----END RSA PUBLIC KEY-----\n"
#define X25519 BEGIN "MCowBQYDK2VuAyEABDwNOP0X2btchnPZIsYj8lJVPmuy3//PLMAtTNQGuDY=\n" END
#define CERTIFICATE                                                                                \
    "-----BEGIN CERTIFICATE-----\n"                                                                \
    "MIIBLjCB4aADAgECAhQ51jOl6+noDSvjH/utMxe7bTnUFDAFBgMrZXAwDDEKMAgG\n"                           \
    "A1UEAwwBeDAgFw0yNjExMjgyMzM3MzdaGA8yMTI2MTEwNDIzMzczN1owDDEKMAgG\n"                           \
    "A1UEAwwBeDAqMAUGAytlcAMhAFgSX18X6V80cGoYw0dgHT57lT/CrN0WLY6pcuHC\n"                           \
    "KZ02o1MwUTAdBgNVHQ4EFgQUnmLzn77DSEBmy1I9tJHvRlphC+QwHwYDVR0jBBgw\n"                           \
    "FoAUnmLzn77DSEBmy1I9tJHvRlphC+QwDwYDVR0TAQH/BAUwAwEB/zAFBgMrZXAD\n"                           \
    "QQCdF+YD+flJzI9YHGcdU/EvGbp3T7QNexQegkwqkGmJdVpAKB4lgdkeZDWUwV02\n"                           \
    "wL2QOB5mTRYVPLKI5rNCUqsC\n"                                                                   \
    "-----END CERTIFICATE-----\n"
#define PRIVATE                                                                                    \
    "-----BEGIN PRIVATE KEY-----\n"                                                                \
    "MC4CAQAwBQYDK2VwBCIEIAfqtpZ7NjFS9DReOm3QsqokpkJ+b56xI2eevOsjkHy1\n"                           \
    "-----END PRIVATE KEY-----\n"
#define ENCRYPTED                                                                                  \
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"                                                      \
    "MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhLE9oNwexOwAICCAAw\n"                           \
    "-----END ENCRYPTED PRIVATE KEY-----\n"
#define OPENSSH "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"
#define SSH2                                                                                       \
    "---- BEGIN SSH2 PUBLIC KEY ----\nComment: \"256-bit ED25519\"\n"                              \
    "AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea\n"                       \
    "---- END SSH2 PUBLIC KEY ----\n"
#define OKP "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED25519_X "\"}"
#define SET "{\"keys\":[" OKP "]}"
#define DER_HEAD "\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"
#define DER                                                                                        \
    DER_HEAD "\xd7\x5a\x98\x01\x82\xb1\x0a\xb7\xd5\x4b\xfe\xd3\xc9\x64\x07\x3a"                    \
             "\x0e\xe1\x72\xf3\xda\xa6\x23\x25\xaf\x02\x1a\x68\xf7\x07\x51\x1a"
#define HEX                                                                                        \
    "302a300506032b6570032100d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
#define BOM "\xef\xbb\xbf"
#define TOKEN "eyJhbGciOiJFZERTQSJ9.eyJleHAiOjE4MDAwMDA2MDB9.hgyY0il_MGCjP0JzlnLWG1PPOt7"

static struct jwt_keys keys;

/* What somebody may take for a key, and what becomes of it. */
struct key_form {
    const char *name;
    const char *text;
    size_t bytes;
    uint32_t count;    /* of keys for EdDSA in it; 0: it is refused, */
    const char *words; /* with these */
};
#define FORM(name, text, count, words)                                                             \
    {                                                                                              \
        name, text, sizeof(text) - 1, count, words                                                 \
    }

static const struct key_form forms[] = {
    FORM("PEM", ED25519, 1, NULL),
    FORM("PEM after a newline", "\n" ED25519, 1, NULL),
    FORM("PEM after blanks", " \t\r\n\v\f" ED25519, 1, NULL),
    FORM("PEM after a BOM", BOM ED25519, 1, NULL),
    FORM("PEM after a BOM and a newline", BOM "\r\n" ED25519, 1, NULL),
    FORM("PEM after a comment", "# of login.example.com\n" ED25519, 1, NULL),
    FORM("PEM after attributes",
         "Bag Attributes\n    friendlyName: x\nKey Attributes: <No Attributes>\n" ED25519, 1, NULL),
    FORM("PEM in lines that end with CRLF",
         "# x\r\n-----BEGIN PUBLIC KEY-----\r\n" ED25519_BASE64 "\r\n-----END PUBLIC KEY-----\r\n",
         1, NULL),
    FORM("PEM in lines that end with CR",
         "-----BEGIN PUBLIC KEY-----\r" ED25519_BASE64 "\r-----END PUBLIC KEY-----\r", 1, NULL),
    FORM("PEM that is indented",
         "  -----BEGIN PUBLIC KEY-----\n  " ED25519_BASE64 "\n  -----END PUBLIC KEY-----\n", 1,
         NULL),
    FORM("PEM without the last newline", BEGIN ED25519_BASE64 "\n-----END PUBLIC KEY-----", 1,
         NULL),
    FORM("PEM wrapped at 32",
         BEGIN "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7T\nyWQHOg7hcvPapiMlrwIaaPcHURo=\n" END, 1, NULL),
    FORM("two PEMs", ED25519 ED25519_OTHER, 2, NULL),
    FORM("two PEMs with text between", "# new\n" ED25519 "\n# old\n" ED25519_OTHER, 2, NULL),
    FORM("PEM and trailing text", ED25519 "until 2027\n", 0, "after the last END"),
    FORM("PEM and a JWK set", ED25519 SET, 0, "after the last END"),
    FORM("PEM and a torn one", ED25519 "-----BEGIN PUBLIC KEY-----\nMCow\n", 0,
         "cannot be decoded"),
    FORM("PEM and an RSA key", ED25519 BEGIN RSA_BODY END, 0, "RSA"),
    FORM("PEM of an RSA key", BEGIN RSA_BODY END, 0, "RSA"),
    FORM("PEM of an RSA key, PKCS #1", PKCS1, 0, "RSA PUBLIC KEY"),
    FORM("PEM of an EC key", EC, 0, "EC"),
    FORM("PEM of an X25519 key", X25519, 0, "X25519"),
    FORM("PEM of a certificate", CERTIFICATE, 0, "certificate"),
    FORM("PEM of a certificate and its key", CERTIFICATE ED25519, 0, "certificate"),
    FORM("PEM of a private key", PRIVATE, 0, "private key"),
    FORM("PEM of a private key after text", "\n# x\n" PRIVATE, 0, "private key"),
    FORM("PEM of an encrypted key", ENCRYPTED, 0, "private key"),
    FORM("PEM of an OpenSSH private key",
         "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n"
         "-----END OPENSSH PRIVATE KEY-----\n",
         0, "private key"),
    FORM("PEM of a request",
         "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n", 0,
         "CERTIFICATE REQUEST"),
    FORM("PGP key",
         "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDMEZ\n=abcd\n-----END PGP PUBLIC KEY "
         "BLOCK-----\n",
         0, "PGP PUBLIC KEY BLOCK"),
    FORM("PEM with no key in it", BEGIN "AAAA\n" END, 0, "PUBLIC KEY"),
    FORM("PEM with bad base64", BEGIN "MCow!QYDK2VwAyEA\n" END, 0, "cannot be decoded"),
    FORM("PEM with bytes behind its key",
         BEGIN "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURoAAA==\n" END, 0,
         "PUBLIC KEY"),
    FORM("PEM without END", BEGIN ED25519_BASE64 "\n", 0, "cannot be decoded"),
    FORM("PEM without BEGIN", ED25519_BASE64 "\n" END, 0, "without its BEGIN"),
    FORM("PEM with \\n in it",
         "-----BEGIN PUBLIC KEY-----\\n" ED25519_BASE64 "\\n-----END PUBLIC KEY-----\\n", 0,
         "a line of its own"),
    FORM("PEM in one line",
         "-----BEGIN PUBLIC KEY----- " ED25519_BASE64 " -----END PUBLIC KEY-----", 0,
         "a line of its own"),
    FORM("PEM in quotes", "\"" ED25519 "\"", 0, "lines of their own"),
    FORM("PEM with dashes of a word processor",
         "\xe2\x80\x94"
         "BEGIN PUBLIC KEY\xe2\x80\x94\n" ED25519_BASE64 "\n",
         0, "PEM"),
    FORM("PEM with a zero byte", "\0" ED25519, 0, "zero byte"),
    FORM("PEM in UTF-16", "\xff\xfe-\0-\0-\0-\0-\0B\0E\0G\0I\0N\0 \0P\0U\0B\0L\0I\0C\0", 0,
         "UTF-16"),
    FORM("PEM in UTF-16 without a BOM", "\0-\0-\0-\0-\0-\0B\0E\0G\0I\0N\0 \0P\0U\0B\0L\0I\0C", 0,
         "UTF-16"),
    FORM("base64 of a PEM",
         "LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KTUNvd0JRWURLMlZ3QXlFQTExcVlBWUt4Q3JmVlMvN1R5V1FI\n"
         "T2c3aGN2UGFwaU1scndJYWFQY0hVUm89Ci0tLS0tRU5EIFBVQkxJQyBLRVktLS0tLQo=\n",
         0, "base64 of"),
    FORM("base64 without BEGIN and END", ED25519_BASE64 "\n", 0, "base64 of"),
    FORM("base64 of an RSA key", RSA_BODY, 0, "base64 of"),
    FORM("base64url without padding", "MCowBQYDK2VwAyEA11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
         0, "base64 of"),
    FORM("hexadecimal DER", HEX "\n", 0, "hexadecimal digits of"),
    FORM("DER", DER, 0, "DER"),
    FORM("DER and a newline", DER "\n", 0, "DER"),
    FORM("DER that ends with a newline", DER_HEAD "0123456789abcdef0123456789abcde\n", 0, "DER"),
    FORM("OpenSSH key", OPENSSH " joe@example\n", 0, "OpenSSH"),
    FORM("OpenSSH keys after a comment", "# joe\n" OPENSSH "\n", 0, "OpenSSH"),
    FORM("OpenSSH key with options", "restrict,pty " OPENSSH "\n", 0, "OpenSSH"),
    FORM("OpenSSH EC key", "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAI joe", 0,
         "OpenSSH"),
    FORM("OpenSSH key of a token", "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG joe", 0,
         "OpenSSH"),
    FORM("SSH2 key", SSH2, 0, "OpenSSH"),
    FORM("PuTTY key", "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n", 0, "private key"),
    FORM("URL", "https://login.example.com/.well-known/jwks.json\n", 0, "URL"),
    FORM("URL of a file", "file:///etc/ringcast/jwt.pem", 0, "URL"),
    FORM("HTML", "<!DOCTYPE html>\n<html><head><title>404</title></head></html>\n", 0, "HTML"),
    FORM("HTML after blanks", BOM "\n <HTML><body>Not Found</body></html>", 0, "HTML"),
    FORM("piece of HTML", "<h1>404 Not Found</h1>\n<p>nothing is here</p>\n", 0, "HTML or XML"),
    FORM("key in XML", "<RSAKeyValue><Modulus>AQAB</Modulus></RSAKeyValue>", 0, "HTML or XML"),
    FORM("XML", "<?xml version=\"1.0\"?><EntityDescriptor entityID=\"x\"></EntityDescriptor>", 0,
         "HTML or XML"),
    FORM("JWK set", SET, 1, NULL),
    FORM("JWK set after a newline", "\n" SET, 1, NULL),
    FORM("JWK set after a blank", " " SET "\n", 1, NULL),
    FORM("JWK set after a BOM", BOM SET, 1, NULL),
    FORM("JWK set with other members", "{\"x\":1,\"keys\":[" OKP "]}", 1, NULL),
    FORM("JWK set with a number that no parser holds", "{\"x\":-1e999,\"keys\":[" OKP "]}", 1,
         NULL),
    FORM("JWK set whose keys are such a number", "{\"keys\":18446744073709551616}", 0,
         "keys is not an array"),
    FORM("JWK set and trailing text", SET " x", 0, "not JSON at line 1"),
    FORM("two JWK sets", SET "\n" SET, 0, "not JSON at line 2"),
    FORM("JWK set with a member twice", "{\"keys\":[" OKP "],\"keys\":[]}", 0,
         "given twice at line 1"),
    FORM("torn JWK set", "{\"keys\":[" OKP, 0, "not JSON at line 1"),
    FORM("JWK set in UTF-16", "\xff\xfe{\0\"\0k\0e\0y\0s\0\"\0:\0[\0]\0}\0 \0 \0 \0 \0 \0", 0,
         "UTF-16"),
    FORM("JSON array of keys", "[" OKP "]", 0, "{\"keys\":[...]}"),
    FORM("JSON array of keys after a blank", "\n [" OKP "]", 0, "{\"keys\":[...]}"),
    FORM("JSON text", "\"" ED25519_BASE64 "\"", 0, "JSON"),
    FORM("JWK alone", OKP, 0, "a single key"),
    FORM("JWK set without keys", "{\"keys\":[]}", 0, "contains no key"),
    FORM("JWK set whose keys are an object", "{\"keys\":{\"a\":" OKP "}}", 0,
         "keys is not an array"),
    FORM("OpenID discovery", "{\"issuer\":\"https://x\",\"jwks_uri\":\"https://x/jwks\"}", 0,
         "jwks_uri"),
    FORM("JSON of certificates by kid", "{\"a\":\"-----BEGIN CERTIFICATE-----\\nMIIB\\n\"}", 0,
         "{\"keys\":[...]}"),
    FORM("too many brackets in each other", "{\"keys\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 0,
         "nested"),
    FORM("token", TOKEN, 0, "token"),
    FORM("token after Bearer", "Bearer " TOKEN "\n", 0, "token"),
    FORM("secret", "0123456789abcdef0123456789abcdef\n", 0, "--jwt-secret-file"),
    FORM("short secret", "changeme", 0, "--jwt-secret-file"),
    FORM("empty file", "", 0, "empty"),
    FORM("file of blanks", " \r\n\n", 0, "empty"),
    FORM("file of a BOM", BOM, 0, "empty"),
    FORM("PEM in lower case", "-----begin public key-----\n" ED25519_BASE64 "\n", 0, "a PEM"),
    FORM("PEM of RSA with four dashes", "----BEGIN RSA PUBLIC KEY----\nMIIBCgKCAQEA0000000\n", 0,
         "BEGIN line is damaged"),
    FORM("PEM, percent-encoded", "-----BEGIN%20PUBLIC%20KEY-----%0A" ED25519_BASE64, 0, "a PEM"),
    FORM("UTF-32", "-\0\0\0-\0\0\0-\0\0\0-\0\0\0-\0\0\0B\0\0\0E\0\0\0G\0\0\0I\0\0\0N\0\0\0", 0,
         "zero byte"),
    FORM("zeros", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
         0, "zero byte"),
    FORM("a password and zeros", "0123456789abcde\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
         0, "zero byte"),
    FORM("variable of a shell", "JWT_PUBLIC_KEY=" ED25519_BASE64 "\n", 0, "base64 of a key"),
    FORM("variable of a shell, quoted", "export KEY='" ED25519_BASE64 "'", 0, "base64 of a key"),
    FORM("base64 of base64",
         "TUNvd0JRWURLMlZ3QXlFQTExcVlBWUt4Q3JmVlMvN1R5V1FIT2c3aGN2UGFwaU1scndJYW"
         "FQY0hVUm89\n",
         0, "base64 of a key"),
    FORM("JWK in YAML", "kty: OKP\ncrv: Ed25519\nx: " ED25519_X "\n", 0, "contains no key"),
    FORM("JWK in YAML, in a line", "{kty: OKP, crv: Ed25519, x: " ED25519_X "}", 0, "not JSON"),
    FORM("JWK of JavaScript", "{'kty':'OKP','crv':'Ed25519','x':'" ED25519_X "'}", 0, "not JSON"),
    FORM("minisign",
         "untrusted comment: minisign public key 7E5A\n"
         "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\n",
         0, "minisign"),
    FORM("minisign, its second line", "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3", 0,
         "minisign"),
    FORM("age", "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\n", 0, "of age"),
    FORM("DID", "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK", 0, "of a DID"),
    FORM("PASETO", "k4.public." ED25519_X, 0, "of PASETO"),
    FORM("DKIM", "v=DKIM1; k=ed25519; p=" ED25519_X "=\n", 0, "of DKIM"),
    FORM("WireGuard", "[Peer]\nPublicKey = " ED25519_X "=\n", 0, "contains no key"),
    FORM("gzip",
         "\x1f\x8b\x08\x01"
         "0123456789abcdef0123456789abcdef0123",
         0, "gzip"),
    FORM("a page of text", "# ringcast\n\nBroadcasts market data over WebSockets, and more.\n", 0,
         "--jwt-secret-file"),
    FORM("binary",
         "\x7f"
         "ELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0\x80\x01",
         0, "zero byte"),
};
#define FORM_COUNT (sizeof forms / sizeof forms[0])

static int set_up(void **state)
{
    (void)state;
    memset(&keys, 0, sizeof keys);
    keys.audience = "ringcast";
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    jwt_keys_deinit(&keys);
    return 0;
}

/* Whether a token is accepted that is signed with these bytes as a secret. */
static bool opens(const void *secret, size_t secret_bytes)
{
    char token[400] = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE4MDAwMDA2MDB9";
    uint8_t signature[EVP_MAX_MD_SIZE];
    unsigned int signature_bytes = 0;
    size_t at = strlen(token);
    HMAC(EVP_sha256(), secret, (int)secret_bytes, (uint8_t *)token, at, signature,
         &signature_bytes);
    token[at++] = '.';
    at += base64url_encode(token + at, signature, signature_bytes);
    struct jwt_verdict verdict = {0};
    enum jwt_status status = jwt_verify(&keys, token, at, NOW, AT_ONCE, &verdict);
    json_decref(verdict.claims);
    return status == JWT_OK;
}

/* As it is, and without what programs cut off before they use a file as a secret. */
static void assert_never_opens(const struct key_form *form)
{
    const char *at = form->text;
    size_t bytes = form->bytes;
    bool is_open = opens(at, bytes);
    while (bytes > 0 && strchr(" \t\r\n", at[bytes - 1]) != NULL) {
        is_open |= opens(at, --bytes);
    }
    while (bytes > 0 && strchr(" \t\r\n" BOM, at[0]) != NULL) {
        is_open |= opens(++at, --bytes);
    }
    if (is_open) {
        fail_msg("%s: a token that is signed with it opens", form->name);
    }
}

static void each_form_of_a_key_is_read_or_refused_with_what_it_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < FORM_COUNT; i++) {
        char error[512] = "";
        int status = jwt_keys_load(&keys, forms[i].text, forms[i].bytes, error, sizeof error);
        if (forms[i].count > 0 ? status != 0 || keys.count != forms[i].count
                               : status != -EINVAL || strstr(error, forms[i].words) == NULL) {
            fail_msg("%s: %d, %u keys, \"%s\"", forms[i].name, status, keys.count, error);
        }
        assert_int_equal(status == 0 ? 0 : keys.count, 0);
        for (uint32_t key = 0; key < keys.count; key++) {
            assert_int_equal(keys.keys[key].algorithm, JWT_EDDSA);
        }
        jwt_keys_deinit(&keys);
    }
}

static void no_form_of_a_key_becomes_a_secret(void **state)
{
    (void)state;
    for (size_t i = 0; i < FORM_COUNT; i++) {
        char error[512] = "";
        (void)jwt_keys_load(&keys, forms[i].text, forms[i].bytes, error, sizeof error);
        assert_never_opens(&forms[i]);
        jwt_keys_deinit(&keys);
    }
}

/* ---- Secrets ---- */

static const char *load_secret(const char *text, size_t bytes)
{
    static char error[512];
    jwt_keys_deinit(&keys);
    error[0] = '\0';
    int status = jwt_keys_load_secret(&keys, text, bytes, error, sizeof error);
    assert_int_equal(status, error[0] == '\0' ? 0 : -EINVAL);
    assert_int_equal(keys.count, status == 0);
    return error;
}

static void a_secret_is_taken_without_the_blanks_at_its_end(void **state)
{
    (void)state;
    static const char secret[] = "0123456789abcdef0123456789abcdef";
    assert_string_equal(load_secret("0123456789abcdef0123456789abcdef \r\n", 35), "");
    assert_true(opens(secret, 32));
    assert_false(opens("0123456789abcdef0123456789abcdef \r\n", 35));
    assert_string_equal(load_secret("\0"
                                    "123456789abcdef0123456789abcde\xff",
                                    32),
                        "");
    assert_true(opens("\0"
                      "123456789abcdef0123456789abcde\xff",
                      32));
    assert_string_equal(load_secret("{\"pass\" word\": [that begins like JSON", 36), "");
    char longest[JWT_SECRET_BYTES_MAX + 1];
    memset(longest, 'x', sizeof longest);
    assert_string_equal(load_secret(longest, JWT_SECRET_BYTES_MAX), "");
    assert_non_null(strstr(load_secret(longest, JWT_SECRET_BYTES_MAX + 1), "this one has 1025"));
    assert_non_null(strstr(load_secret(secret, 31), "32 to 1024 bytes, and this one has 31"));
    assert_non_null(strstr(load_secret(" \n", 2), "this one has 0"));
    assert_non_null(strstr(load_secret(BOM "0123456789abcdef0123456789abcdef", 35), "byte order"));
}

/* Whatever is read as a key, or is refused as something that is known. */
static void what_looks_like_a_key_is_no_secret(void **state)
{
    (void)state;
    for (size_t i = 0; i < FORM_COUNT; i++) {
        const char *error = load_secret(forms[i].text, forms[i].bytes);
        bool is_secret = strcmp(forms[i].name, "secret") == 0;
        if ((error[0] == '\0') != is_secret || strstr(error, "0123456789abcdef") != NULL) {
            fail_msg("%s: \"%s\"", forms[i].name, error);
        }
    }
}

/* The public key that is loaded already, as one may have it from somewhere. */
static void a_public_key_is_no_secret_beside_itself(void **state)
{
    (void)state;
    static const char *const secrets[] = {
        "\xd7\x5a\x98\x01\x82\xb1\x0a\xb7\xd5\x4b\xfe\xd3\xc9\x64\x07\x3a"
        "\x0e\xe1\x72\xf3\xda\xa6\x23\x25\xaf\x02\x1a\x68\xf7\x07\x51\x1a",
        ED25519_X,
        "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\n",
        "D7:5A:98:01:82:B1:0A:B7:D5:4B:FE:D3:C9:64:07:3A:"
        "0E:E1:72:F3:DA:A6:23:25:AF:02:1A:68:F7:07:51:1A",
        "PublicKey = 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    };
    char error[512];
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++) {
        jwt_keys_deinit(&keys);
        assert_int_equal(jwt_keys_load(&keys, ED25519, strlen(ED25519), error, sizeof error), 0);
        assert_int_equal(
            jwt_keys_load_secret(&keys, secrets[i], strlen(secrets[i]), error, sizeof error),
            -EINVAL);
        assert_non_null(strstr(error, "a public key of --jwt-key-file"));
        assert_int_equal(keys.count, 1);
        assert_false(opens(secrets[i], strlen(secrets[i])));
    }
    static const char *const sets[] = {
        "{\"keys\":[" OKP ",{\"kty\":\"oct\",\"k\":\"" ED25519_X "\"}]}",
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"" ED25519_X "\"}," OKP "]}",
    };
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        jwt_keys_deinit(&keys);
        assert_int_equal(jwt_keys_load(&keys, sets[i], strlen(sets[i]), error, sizeof error),
                         -EINVAL);
        assert_non_null(strstr(error, "which is public"));
        assert_int_equal(keys.count, 0);
    }
}

/* Bytes, hexadecimal digits and base64 of openssl rand are good, however they fall out. */
static void secrets_drawn_at_random_are_taken(void **state)
{
    (void)state;
    srand(1);
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[48];
        char text[2 * sizeof bytes + 1];
        for (size_t at = 0; at < sizeof bytes; at++) {
            bytes[at] = (uint8_t)(rand() >> 8);
            snprintf(text + 2 * at, 3, "%02x", bytes[at]);
        }
        bytes[sizeof bytes - 1] |= 0x80; /* no blank */
        assert_string_equal(load_secret((char *)bytes, sizeof bytes), "");
        assert_string_equal(load_secret(text, strlen(text)), "");
        assert_string_equal(load_secret(text, base64url_encode(text, bytes, sizeof bytes)), "");
    }
}

/* ---- JWK sets ---- */

#define OCT_K "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"
#define OCT(members) "{\"kty\":\"oct\",\"k\":\"" OCT_K "\"" members "}"
#define ED(members) "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED25519_X "\"" members "}"

/* One key of a set, which is for us or is ignored with these words. */
static void foreign_keys_of_a_set_are_ignored_and_counted(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {ED(""), NULL},
        {ED(",\"use\":\"sig\",\"alg\":\"EdDSA\",\"key_ops\":[\"verify\"]"), NULL},
        {ED(",\"alg\":\"Ed25519\",\"x5t\":\"AA\",\"more\":{\"a\":[1]}"), NULL},
        {ED(",\"kid\":\"\""), NULL},
        {OCT(""), NULL},
        {OCT(",\"alg\":\"HS256\",\"use\":\"sig\",\"key_ops\":[\"sign\",\"verify\"]"), NULL},
        {"{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\",\"kid\":\"rsa-1\"}", "\"rsa-1\" (kty"},
        {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}", "kty"},
        {"{\"kty\":\"AKP\",\"alg\":\"ML-DSA-44\",\"pub\":\"AA\"}", "kty"},
        {"{\"kty\":\"okp\",\"crv\":\"Ed25519\",\"x\":\"" ED25519_X "\"}", "kty"},
        {"{\"crv\":\"Ed25519\",\"x\":\"" ED25519_X "\"}", "kty"},
        {"{\"kty\":7}", "kty"},
        {"{}", "kty"},
        {"7", "kty"},
        {"null", "kty"},
        {"[" ED("") "]", "kty"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":\"" ED25519_X "\"}", "crv"},
        {"{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"" ED25519_X "\"}", "crv"},
        {"{\"kty\":\"OKP\",\"crv\":\"X448\",\"x\":\"" ED25519_X "\"}", "crv"},
        {"{\"kty\":\"OKP\",\"x\":\"" ED25519_X "\"}", "crv"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}", "32 bytes"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED25519_X "=\"}", "base64url"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":7}", "base64url"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\"}", "base64url"},
        {ED(",\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\""), "private"},
        {ED(",\"use\":\"enc\""), "use"},
        {ED(",\"use\":null"), "use"},
        {ED(",\"use\":[\"sig\"]"), "use"},
        {ED(",\"alg\":\"ES256\""), "alg"},
        {ED(",\"alg\":\"HS256\""), "alg"},
        {ED(",\"alg\":\"Ed448\""), "alg"},
        {ED(",\"alg\":7"), "alg"},
        {ED(",\"key_ops\":[\"sign\"]"), "key_ops"},
        {ED(",\"key_ops\":[]"), "key_ops"},
        {ED(",\"key_ops\":\"verify\""), "key_ops"},
        {ED(",\"kid\":7"), "kid"},
        {ED(",\"kid\":\"0123456789012345678901234567890123456789012345678901234567890123x\""),
         "at most 64 bytes"},
        {OCT(",\"alg\":\"HS512\""), "alg is not HS256"},
        {OCT(",\"alg\":\"EdDSA\""), "alg is not HS256"},
        {OCT(",\"alg\":\"A256GCM\""), "alg is not HS256"},
        {OCT(",\"use\":\"enc\""), "use"},
        {OCT(",\"key_ops\":[\"encrypt\",\"decrypt\"]"), "key_ops"},
        {"{\"kty\":\"oct\",\"k\":\"MDEyMzQ\"}", "shorter than 32"},
        {"{\"kty\":\"oct\",\"k\":\"\"}", "shorter than 32"},
        {"{\"kty\":\"oct\"}", "k is missing"},
        {"{\"kty\":\"oct\",\"k\":\"MCowBQYDK2VwAyEA11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
         "another kind"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char set[1000];
        char error[512] = "";
        for (int with_good = 0; with_good < 2; with_good++) {
            bool is_ours = cases[i][1] == NULL;
            snprintf(set, sizeof set, "{\"keys\":[%s%s]}", cases[i][0],
                     with_good ? "," ED(",\"kid\":\"good\"") : "");
            int status = jwt_keys_load(&keys, set, strlen(set), error, sizeof error);
            const char *words = status == 0 ? keys.ignored : error;
            if (status != (is_ours || with_good ? 0 : -EINVAL) ||
                keys.count != (uint32_t)(is_ours + with_good) || keys.ignored_count != !is_ours ||
                (!is_ours && strstr(words, cases[i][1]) == NULL)) {
                fail_msg("%s: %d, %u keys, %u ignored: %s", set, status, keys.count,
                         keys.ignored_count, words);
            }
            assert_null(strstr(words, "MDEyMzQ"));
            jwt_keys_deinit(&keys);
        }
    }
}

static void keys_beyond_the_sixteenth_are_ignored_and_the_log_says_so(void **state)
{
    (void)state;
    static char set[20000];
    char error[512] = "";
    char text[600];
    size_t at = (size_t)snprintf(set, sizeof set, "{\"keys\":[" OCT(""));
    for (int i = 0; i < 60; i++) {
        at += (size_t)snprintf(set + at, sizeof set - at, "," ED(",\"kid\":\"key \\\"\\u001b%d\""),
                               i);
    }
    snprintf(set + at, sizeof set - at, "]}");
    assert_int_equal(jwt_keys_load(&keys, set, strlen(set), error, sizeof error), 0);
    jwt_keys_describe(&keys, text, sizeof text);
    assert_non_null(strstr(text, "15 public for EdDSA (Ed25519), 1 secret for HS256, 45 ignored: "
                                 "keys[16] \"key???15\" (there are 16 keys already), keys[17]"));
    assert_string_equal(text + strlen(text) - 6, "), ...");
}

int main(void)
{
#define KEYS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        KEYS_TEST(each_form_of_a_key_is_read_or_refused_with_what_it_is),
        KEYS_TEST(no_form_of_a_key_becomes_a_secret),
        KEYS_TEST(a_secret_is_taken_without_the_blanks_at_its_end),
        KEYS_TEST(what_looks_like_a_key_is_no_secret),
        KEYS_TEST(a_public_key_is_no_secret_beside_itself),
        KEYS_TEST(secrets_drawn_at_random_are_taken),
        KEYS_TEST(foreign_keys_of_a_set_are_ignored_and_counted),
        KEYS_TEST(keys_beyond_the_sixteenth_are_ignored_and_the_log_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
