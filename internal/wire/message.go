package wire

// Types of the messages a client sends (protocol-message-formats). CopyData and CopyDone go both ways.
const (
	MsgQuery        byte = 'Q'
	MsgParse        byte = 'P'
	MsgBind         byte = 'B'
	MsgDescribe     byte = 'D'
	MsgExecute      byte = 'E'
	MsgClose        byte = 'C'
	MsgFlush        byte = 'H'
	MsgSync         byte = 'S'
	MsgFunctionCall byte = 'F'
	MsgTerminate    byte = 'X'
	MsgPassword     byte = 'p' // also SASLInitialResponse, SASLResponse and GSSResponse
	MsgCopyData     byte = 'd'
	MsgCopyDone     byte = 'c'
	MsgCopyFail     byte = 'f'
)

// Types of the messages a server sends (protocol-message-formats). The same letter may mean something else when a
// client sends it.
const (
	MsgAuthentication           byte = 'R'
	MsgParameterStatus          byte = 'S'
	MsgBackendKeyData           byte = 'K'
	MsgReadyForQuery            byte = 'Z'
	MsgErrorResponse            byte = 'E'
	MsgNoticeResponse           byte = 'N'
	MsgNotificationResponse     byte = 'A'
	MsgRowDescription           byte = 'T'
	MsgDataRow                  byte = 'D'
	MsgCommandComplete          byte = 'C'
	MsgEmptyQueryResponse       byte = 'I'
	MsgPortalSuspended          byte = 's'
	MsgParseComplete            byte = '1'
	MsgBindComplete             byte = '2'
	MsgCloseComplete            byte = '3'
	MsgNoData                   byte = 'n'
	MsgParameterDescription     byte = 't'
	MsgCopyInResponse           byte = 'G'
	MsgCopyOutResponse          byte = 'H'
	MsgCopyBothResponse         byte = 'W'
	MsgFunctionCallResponse     byte = 'V'
	MsgNegotiateProtocolVersion byte = 'v'
)
