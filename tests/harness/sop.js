// OpenPGP.js with some of the Stateless OpenPGP command line, and its look-up of keys by WKD.
//
//   sop.js generate-key --profile v4|v4-aead|v6 'NAME <ADDRESS>'
//   sop.js extract-cert | encrypt CERT-FILE | decrypt KEY-FILE       from the standard input
//   sop.js wkd ADDRESS                                               writes the certificate

const { readFileSync } = require("node:fs");
const openpgp = require("openpgp");
const WKD = require("@openpgp/wkd-client");

const PROFILES = {
    "v4": { v6Keys: false, aeadProtect: false },
    "v4-aead": { v6Keys: false, aeadProtect: true },
    "v6": { v6Keys: true, aeadProtect: true },
};

const verbs = {
    async "generate-key"(_, profile, text) {
        const [, name, email] = text.match(/^(.*) <(.*)>$/);
        const { privateKey } = await openpgp.generateKey({
            userIDs: [{ name, email }],
            config: PROFILES[profile],
        });
        return privateKey;
    },
    async "extract-cert"() {
        const key = await openpgp.readPrivateKey({ armoredKey: input().toString() });
        return key.toPublic().armor();
    },
    async encrypt(file) {
        const armoredKey = readFileSync(file, "utf8");
        return openpgp.encrypt({
            message: await openpgp.createMessage({ binary: input() }),
            encryptionKeys: await openpgp.readKey({ armoredKey }),
        });
    },
    async decrypt(file) {
        const armoredKey = readFileSync(file, "utf8");
        const { data } = await openpgp.decrypt({
            message: await openpgp.readMessage({ armoredMessage: input().toString() }),
            decryptionKeys: await openpgp.readPrivateKey({ armoredKey }),
            format: "binary",
        });
        return data;
    },
    async wkd(email) {
        const binaryKey = await new WKD().lookup({ email });
        const key = await openpgp.readKey({ binaryKey });
        await key.getEncryptionKey();       // throws where nothing could be sealed to it
        return key.armor();
    },
};

function input() {
    return readFileSync(0);
}

const [verb, ...words] = process.argv.slice(2);
verbs[verb](...words).then(
    (out) => process.stdout.write(out),
    (error) => {
        console.error(String(error));
        process.exitCode = 1;
    },
);
