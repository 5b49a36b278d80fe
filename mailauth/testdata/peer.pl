# Mail::DKIM, for comparison: peer.pl PORT verify <LIST verifies a JSON list of
# kinds and messages, with a line of results for each; peer.pl KEYFILE sign
# <message signs.
use strict;
use JSON::PP;
use Mail::DKIM::Verifier;
use Mail::DKIM::ARC::Verifier;
use Mail::DKIM::DNS;
use Mail::DKIM::Signer;
use Net::DNS::Resolver;

my ($where, $what) = @ARGV;
binmode STDIN;
my $in = do { local $/; <STDIN> };
if ($what eq 'sign') {
	my $s = Mail::DKIM::Signer->new(Algorithm => 'rsa-sha256', Method => 'relaxed/relaxed', Domain => 'a.test', Selector => 'r1', KeyFile => $where);
	$s->PRINT($in);
	$s->CLOSE;
	print $s->signature->as_string, "\r\n", $in;
	exit;
}
Mail::DKIM::DNS::resolver(Net::DNS::Resolver->new(nameservers => ['127.0.0.1'], port => $where));
for (@{ decode_json($in) }) {
	my ($kind, $message) = @$_;
	my $v = $kind eq 'arc' ? Mail::DKIM::ARC::Verifier->new() : Mail::DKIM::Verifier->new();
	$v->PRINT($message);
	$v->CLOSE;
	print join(' ', $kind eq 'arc' ? $v->result : map { $_->result } $v->signatures), "\n";
}
